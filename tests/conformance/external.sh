#!/usr/bin/env bash
# Runs somebody else's tests, written with pytest and an AWS SDK, against a daemon of their own, unchanged.
#
#   tests/conformance/external.sh SUITE [ARGUMENT OF PYTEST …]
#
# SUITE is a folder or a file. The daemon is started empty, listens on loopback and is gone afterwards; the suite finds
# it by AWS_ENDPOINT_URL_LAMBDA and AWS_ENDPOINT_URL_CLOUDWATCH_LOGS (or AWS_ENDPOINT_URL, with HEARTH_ALL_SERVICES=1), with
# AWS_DEFAULT_REGION, credentials and HEARTH_ACCOUNT_ID. Ends with one line `N passed, N failed, N skipped`; the exit code
# is pytest's.
#
#   HEARTH_BIN           the program; else what cargo built last
#   HEARTH_REGION        us-east-1
#   HEARTH_ACCOUNT_ID    000000000000
#   HEARTH_PYTHON        the Python that has pytest and what the suite imports; else that of tests/run.sh, else python3
#   HEARTH_KEEP=1        leaves state and log of the daemon where they are, and says where
set -uo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
case "${1:-}" in
    '') usage >&2; exit 2 ;;
    -h | --help) usage; exit 0 ;;
esac
fail() { echo "external.sh: $*" >&2; exit 2; }

suite=$1
shift
[ -e "$suite" ] || fail "there is no $suite"
suite=$(realpath "$suite")
root=$(cd "$(dirname "$0")/../.." && pwd)

program=${HEARTH_BIN:-}
for candidate in "$root/target/release/hearth" "$root/target/debug/hearth"; do
    [ -n "$program" ] || { [ -x "$candidate" ] && program=$candidate; }
done
[ -x "$program" ] || fail "no hearth to test: cargo build --release, or HEARTH_BIN"
python=${HEARTH_PYTHON:-}
for candidate in "$root/target/test-venv/bin/python" "$(command -v python3)"; do
    [ -n "$python" ] || { [ -x "$candidate" ] && python=$candidate; }
done
"$python" -c 'import pytest' 2>/dev/null || fail "$python has no pytest; HEARTH_PYTHON names one that has"
[ "$(id -u)" = 0 ] || fail "the daemon needs root"

region=${HEARTH_REGION:-us-east-1} account=${HEARTH_ACCOUNT_ID:-000000000000}
folder=$(mktemp -d /tmp/hearth-external-XXXXXX)
# The daemon gives up its privileges; it must still be able to walk to its own directory.
chmod 755 "$folder"
daemon=
leave() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null
        wait "$daemon" 2>/dev/null
    fi
    if [ "${HEARTH_KEEP:-}" = 1 ]; then echo "kept: $folder"; else rm -rf "$folder"; fi
}
trap leave EXIT
trap 'exit 130' INT TERM

env -u HEARTH_BIN -u HEARTH_PYTHON -u HEARTH_KEEP -u HEARTH_ALL_SERVICES \
    HEARTH_REGION="$region" HEARTH_ACCOUNT_ID="$account" HEARTH_KEY_FILE="$folder/key" \
    "$program" serve --state-dir "$folder/state" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
    >"$folder/ready" 2>"$folder/log" </dev/null &
daemon=$!
endpoint=
for _ in $(seq 300); do
    endpoint=$(sed -n 's/^hearth: listening on //p' "$folder/ready")
    [ -z "$endpoint" ] || break
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
done
[ -n "$endpoint" ] || { tail -n 20 "$folder/log" >&2; fail "the daemon did not start"; }
echo "daemon: $endpoint, region $region, account $account"

if [ "${HEARTH_ALL_SERVICES:-}" = 1 ]; then
    export AWS_ENDPOINT_URL=$endpoint
else
    export AWS_ENDPOINT_URL_LAMBDA=$endpoint AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=$endpoint
fi
export AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-test} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-test}
export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_EC2_METADATA_DISABLED=true HEARTH_ACCOUNT_ID=$account
folder_of_suite=$suite
[ -d "$suite" ] || folder_of_suite=$(dirname "$suite")
cd "$folder_of_suite" || fail "cannot enter $folder_of_suite"
"$python" -m pytest "$suite" -p no:cacheprovider --junitxml "$folder/results.xml" "$@"
code=$?
"$python" - "$folder/results.xml" <<'END'
import sys
import xml.etree.ElementTree as tree

try:
    suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
except (OSError, tree.ParseError):
    sys.exit("external.sh: pytest wrote no results")
total, bad, left = (
    sum(int(one.get(key, 0)) for one in suites for key in keys)
    for keys in (("tests",), ("failures", "errors"), ("skipped",))
)
print(f"{max(total - bad - left, 0)} passed, {bad} failed, {left} skipped")
END
kill -0 "$daemon" 2>/dev/null || { tail -n 20 "$folder/log" >&2; fail "the daemon did not live until the end"; }
exit "$code"
