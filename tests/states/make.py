#!/usr/bin/env python3
"""Writes an archive of a state directory, to be opened by all later releases (tests/it/test_states.py).

    HEARTH_BIN=target/debug/hearth target/test-venv/bin/python tests/states/make.py NAME

plays the scene on that program and leaves `tests/states/NAME.tar.xz`: the directory, its key, and what a client saw.
Needs root. To be run when what is written to disk has changed; archives that are there stay.
"""

import json
import os
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import scene  # noqa: E402
from lib.daemon import Daemon  # noqa: E402

# Made again when it is needed, or of one process only.
LEFT_OUT = {"unpacked", "tmp", "lock", "run.json", "admin.sock", "hearth.db-shm"}


def plain(entry):
    """Without owners and times: the same scene gives a small, quiet archive."""
    if Path(entry.name).parts[1:2] and Path(entry.name).parts[1] in LEFT_OUT:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    return entry


def main():
    os.umask(0o022)
    (name,) = sys.argv[1:]
    daemon = Daemon()
    try:
        daemon.start()
        scene.play(daemon)
        seen = scene.describe(daemon)
        daemon.stop()
        (daemon.directory / "seen.json").write_text(json.dumps(seen, indent=1, sort_keys=True))
        with tarfile.open(HERE / f"{name}.tar.xz", "w:xz") as archive:
            for part in ("state", "key", "seen.json"):
                if (daemon.directory / part).exists():
                    archive.add(daemon.directory / part, part, filter=plain)
    finally:
        daemon.kill()
        daemon.remove()
    print(f"tests/states/{name}.tar.xz: {sorted(what for what, it in seen.items() if it is not None)}")


if __name__ == "__main__":
    main()
