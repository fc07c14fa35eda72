"""AWS's own runtime clients, unchanged, as packages of `provided.al2023` functions.

Each is installed once below `target/official` (a marker says that it is whole) and pinned: a run next year tests the
same client. The interpreters are those of the host below `/usr`, which a sandbox sees; a client in C is built for them.
"""

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import functions
from .daemon import REPOSITORY

HANDLERS = REPOSITORY / "tests" / "official"
CACHE = REPOSITORY / "target" / "official"
INSTALL_WITHIN_S = 900

AWSLAMBDARIC = "4.2.2"
# 4.x asks for Node.js 22.
AWS_LAMBDA_RIC = {"old": "3.3.0", "current": "4.0.2"}


def run(command, **settings):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=INSTALL_WITHIN_S, **settings
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def installed(name, install):
    """The folder of a client; `install(folder)` fills it if that was not done before, by whichever process comes first."""
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            install(folder)
            (folder / "whole").touch()
    return folder


def tree(folder, prefix=""):
    """Files of a folder for a package: name → bytes."""
    return {
        prefix + str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@functools.cache
def python():
    """Package of the Python function on `awslambdaric`."""
    interpreter = Path("/usr/bin/python3")
    if not interpreter.exists():
        pytest.skip("no /usr/bin/python3: a provided runtime sees the host's /usr only")
    version = run([interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()

    def install(folder):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        wheels = ["--only-binary=:all:", "--python-version", version]
        run([*pip, *wheels, "--target", folder / "site", f"awslambdaric=={AWSLAMBDARIC}"])

    site = installed(f"awslambdaric-{AWSLAMBDARIC}-python{version}", install) / "site"
    bootstrap = f'#!/bin/sh\nexec {interpreter} -m awslambdaric "$_HANDLER"\n'
    return functions.package(tree(site) | tree(HANDLERS / "python") | {"bootstrap": bootstrap})


@functools.cache
def node():
    """Package of the Node.js function on `aws-lambda-ric`."""
    interpreter = Path("/usr/bin/node")
    if not interpreter.exists():
        pytest.skip("no /usr/bin/node: a provided runtime sees the host's /usr only")
    if missing := [tool for tool in ("npm", "cmake", "autoreconf", "libtoolize", "g++") if not shutil.which(tool)]:
        pytest.skip(f"aws-lambda-ric is built from source, which needs {', '.join(missing)}")
    major = int(run([interpreter, "--version"]).lstrip("v").split(".")[0])
    version = AWS_LAMBDA_RIC["current" if major >= 22 else "old"]

    def install(folder):
        # The headers that came with the interpreter, not those that its maker's site offers.
        headers = {"npm_config_nodedir": "/usr"} if Path("/usr/include/node/node.h").exists() else {}
        environment = os.environ | headers | {"MAKEFLAGS": f"-j{os.cpu_count()}"}
        npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", folder]
        run([*npm, f"aws-lambda-ric@{version}"], env=environment)

    client = installed(f"aws-lambda-ric-{version}-node{major}", install) / "node_modules" / "aws-lambda-ric"
    program = json.loads((client / "package.json").read_text())["bin"]["aws-lambda-ric"]
    files = {
        f"node_modules/aws-lambda-ric/{name}": content
        for name, content in tree(client).items()
        # Sources of its C parts and their build, 150 MB that the client does not need to run.
        if name.split("/")[0] not in ("deps", "src", "scripts", "build", "node-addon-api", "node_modules")
    }
    bootstrap = f'#!/bin/sh\nexec {interpreter} node_modules/aws-lambda-ric/{program} "$_HANDLER"\n'
    return functions.package(files | tree(HANDLERS / "node") | {"bootstrap": bootstrap})


@functools.cache
def rust():
    """Package of the native function on the `lambda_runtime` crate."""
    if not shutil.which("cargo"):
        pytest.skip("no cargo on this host")
    # The sample function of the same crate is built there, so that one build of the dependencies serves both.
    target = REPOSITORY / "sample-functions" / "rust-bootstrap" / "target"
    manifest = HANDLERS / "rust" / "Cargo.toml"
    run(["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target])
    return functions.package({"bootstrap": (target / "release" / "official-rust").read_bytes()})
