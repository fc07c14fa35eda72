#!/bin/sh
# Collects the handler and its dependency in build/, the folder that is deployed. Needs python3 with pip.
set -eu
cd "$(dirname "$0")"
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "python-dependency: pip is missing; install it (Debian: apt-get install python3-pip), then run this again" >&2
    exit 1
fi
if [ -f build/requirements.txt ] && cmp -s requirements.txt build/requirements.txt && [ -d build/inflection-0.5.1.dist-info ]; then
    echo "python-dependency: the dependency is already there"
else
    echo "python-dependency: installing requirements.txt into build/"
    rm -rf build
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-compile -t build -r requirements.txt
    cp requirements.txt build/
fi
cp handler.py build/
echo "python-dependency: build/ is ready"
