#!/usr/bin/env bash
# Runs every test of the repository; what they need is installed first if it is missing.
#
#   tests/run.sh            everything at its short counts
#   tests/run.sh --long     leak and crash tests at their full counts, ten minutes for each fuzz target
#
# Needs root (sandboxes are made of namespaces, mounts and control groups) and a Rust toolchain; Debian 12 otherwise
# bare. Ends with one line `N passed, N failed, N skipped`; the exit code is 0 only if nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

long=0
for word in "$@"; do
    case "$word" in
        --long) long=1 ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) echo "tests/run.sh: unknown argument $word (known: --long)" >&2; exit 2 ;;
    esac
done
[ "$long" = 1 ] && export HEARTH_LONG=1

passed=0 failed=0 skipped=0
root=$PWD
results=$root/target/test-results
mkdir -p "$results"

say() { printf '\n=== %s\n' "$*"; }
add() { passed=$((passed + $1)); failed=$((failed + $2)); skipped=$((skipped + $3)); }

# Runs one section: its output is shown and kept in target/test-results, its time told.
# usage: section TITLE FILE COMMAND…   (sets `code`)
section() {
    local title=$1 file=$results/$2 begun=$SECONDS
    shift 2
    say "$title"
    "$@" 2>&1 | tee "$file"
    code=${PIPESTATUS[0]}
    printf -- '--- %s: %s, %d s\n' "$title" "$([ "$code" = 0 ] && echo ok || echo "exit code $code")" $((SECONDS - begun))
}

# A section that passes or fails as one.
step() {
    section "$@"
    if [ "$code" = 0 ]; then add 1 0 0; else add 0 1 0; fi
}

# A runner that was ended by something else than its tests has failed even if it counted none.
settle() { [ "$code" = 0 ] || [ "$1" -gt 0 ] || add 0 1 0; }

sum() { grep -oE "$1" "$2" | grep -oE '[0-9]+' | awk '{ s += $1 } END { print s + 0 }'; }

sum_lines() { grep -cE "$1" "$2" || true; }

# --- what the tests need ---

install_packages() {
    local missing=()
    has() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
    has cc build-essential
    has pkg-config pkg-config
    has python3 python3
    has curl curl
    has mkfs.ext4 e2fsprogs
    has ps procps
    has ip iproute2
    has losetup mount
    has strace strace
    has unshare util-linux
    PATH=$PATH:/usr/sbin:/sbin has nft nftables
    PATH=$PATH:/usr/sbin:/sbin has sysctl procps
    has node nodejs
    has busybox busybox-static
    # The official client for Node.js is built from source.
    has npm npm
    has cmake cmake
    has autoreconf autoconf
    has aclocal automake
    has libtoolize libtool
    if ! [ -e /usr/include/node/node.h ]; then missing+=(libnode-dev); fi
    if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then missing+=(python3-venv); fi
    if ! python3 -m pip --version >/dev/null 2>&1; then missing+=(python3-pip); fi
    if ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then missing+=(ca-certificates); fi
    if [ "${#missing[@]}" = 0 ]; then
        echo "all packages are there"
        return 0
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "please install: ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What only the guest needs; without it the guest's tests are skipped, with the reason.
install_guest_packages() {
    local missing=()
    command -v qemu-system-x86_64 >/dev/null 2>&1 || missing+=(qemu-system-x86)
    command -v strip >/dev/null 2>&1 || missing+=(binutils)
    if [ "${#missing[@]}" = 0 ]; then
        echo "all packages are there"
    elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "not installed: ${missing[*]}" >&2
    else
        echo "installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
            echo "could not install ${missing[*]}" >&2
    fi
}

# The AWS CLI of version 2 can follow logs; Python's index has version 1. Where a distribution has no version 2 either, the
# tests that need it say so and are skipped.
install_aws_cli_2() {
    local program
    for program in $(type -ap aws); do
        if "$program" --version 2>/dev/null | grep -q '^aws-cli/2'; then return; fi
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq --no-install-recommends awscli >/dev/null && return
    fi
    echo "no AWS CLI 2: tests of 'aws logs tail' will be skipped"
}

find_cargo() {
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH
    export PATH
    if ! command -v cargo >/dev/null 2>&1; then
        echo "a Rust toolchain is missing; install it from https://rustup.rs, then run this again" >&2
        return 1
    fi
    cargo --version
}

venv=$root/target/test-venv
make_venv() {
    local wanted
    wanted=$(sha256sum tests/requirements.txt | cut -d' ' -f1)
    if [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c 'import boto3, pytest' 2>/dev/null; then
        echo "target/test-venv is up to date"
        return 0
    fi
    rm -rf "$venv"
    python3 -m venv "$venv" || return 1
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt || return 1
    echo "$wanted" >"$venv/requirements.sha256"
}

require() {
    section "$@"
    if [ "$code" != 0 ]; then
        echo "tests/run.sh: cannot go on without this" >&2
        add 0 1 0
        finish
    fi
}

finish() {
    printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}

[ "$(id -u)" = 0 ] || echo "tests/run.sh: not root; tests that start the daemon will be skipped" >&2
require "packages" packages.log install_packages
install_aws_cli_2
# A function, not a section's pipe: the PATH it finds has to last.
find_cargo || { add 0 1 0; finish; }
require "python for the tests" venv.log make_venv

# --- the Rust side ---

step "cargo fmt" fmt.log cargo fmt --all --check
step "cargo clippy" clippy.log cargo clippy --workspace --all-targets --locked -- -D warnings
step "benchmarks build" benches.log cargo clippy --manifest-path benches/Cargo.toml --target-dir target/benches \
    --all-targets --locked -- -D warnings

if cargo nextest --version >/dev/null 2>&1; then
    section "cargo nextest" rust.log cargo nextest run --workspace --locked --no-fail-fast --color never
    summary=$(grep -E '^ *Summary ' "$results/rust.log" | tail -1)
    count() { echo "$summary" | grep -oE "[0-9]+ $1" | grep -oE '^[0-9]+' || echo 0; }
    rust_failed=$(($(count failed) + $(count 'timed out') + $(count 'exec failed')))
    add "$(count passed)" "$rust_failed" "$(count skipped)"
    settle "$rust_failed"
    section "documentation examples" doc.log cargo test --workspace --locked --doc --no-fail-fast --color never
    files=("$results/doc.log")
else
    section "cargo test" rust.log cargo test --workspace --locked --no-fail-fast --color never
    files=("$results/rust.log")
fi
for file in "${files[@]}"; do
    read -r p f s < <(awk '/^test result:/ { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i; if ($(i+1) ~ /^ignored/) s += $i } } END { print p + 0, f + 0, s + 0 }' "$file")
    add "$p" "$f" "$s"
    settle "$f"
done

# Seconds each, to see that they build and that the corpus passes; `--long` looks for more.
section "fuzz targets" fuzz.log tests/fuzz/run.sh --seconds "$([ "$long" = 1 ] && echo 600 || echo 5)"
bad=$(sum_lines '^fuzz .*: FAILED' "$results/fuzz.log")
add "$(sum_lines '^fuzz .*: ok' "$results/fuzz.log")" "$bad" 0
settle "$bad"

# Optimised crate by crate: as a whole, which is what a release gets, it takes three times as long.
require "cargo build --release" build.log env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo build --release --locked
export HEARTH_BIN=$root/target/release/hearth

# --- the runtime clients, without a daemon ---

section "python runtime client" client-python.log python3 src/runtimes/python/test_client.py
# unittest: `Ran N tests`, `FAILED (failures=1, errors=2, skipped=3)` or `OK (skipped=3)`.
ran=$(sum '^Ran [0-9]+ test' "$results/client-python.log")
bad=$(($(sum 'failures=[0-9]+' "$results/client-python.log") + $(sum 'errors=[0-9]+' "$results/client-python.log")))
left=$(sum 'skipped=[0-9]+' "$results/client-python.log")
add $((ran - bad - left)) "$bad" "$left"
settle "$bad"

section "node runtime client" client-node.log node --test --test-reporter=tap src/runtimes/node/client.test.mjs
good=$(sum '^# pass [0-9]+' "$results/client-node.log")
bad=$(($(sum '^# fail [0-9]+' "$results/client-node.log") + $(sum '^# cancelled [0-9]+' "$results/client-node.log")))
left=$(($(sum '^# skipped [0-9]+' "$results/client-node.log") + $(sum '^# todo [0-9]+' "$results/client-node.log")))
add "$good" "$bad" "$left"
settle "$bad"

# --- the daemon as a black box ---

suite() {
    section "$1" "$2.log" "$venv/bin/python" -m pytest -c tests/pytest.ini --rootdir tests --durations=8 \
        --junitxml "$results/$2.xml" -p no:cacheprovider --color=no "${@:3}"
    local counts
    counts=$("$venv/bin/python" - "$results/$2.xml" <<'PY'
import sys
import xml.etree.ElementTree as tree

try:
    suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
except (OSError, tree.ParseError):
    suites = []
total, bad, left = (sum(int(s.get(k, 0)) for s in suites for k in keys) for keys in (("tests",), ("failures", "errors"), ("skipped",)))
print(max(total - bad - left, 0), bad, left)
PY
    )
    read -r p f s <<<"$counts"
    add "$p" "$f" "$s"
    settle "$f"
    rm -f "$results/$2.xml"
}

export PYTHONDONTWRITEBYTECODE=1
# Several at a time: daemons do not know of each other, networks are the tests' own, and a test mostly waits. Whoever
# measures time against a simulation is alone; whoever counts what is on the host comes last.
alone=(tests/it/test_simulate.py)
counting=(tests/it/test_crash.py tests/it/test_leaks.py)
left_out=()
for file in "${alone[@]}" "${counting[@]}"; do left_out+=(--ignore "$file"); done
together=(--dist loadfile --no-loadscope-reorder)
suite "black-box tests" it tests/it -n 3 "${together[@]}" "${left_out[@]}"
suite "black-box tests that want the machine to themselves" alone "${alone[@]}"
# Attacks are on the function's own daemon and its slots; the network's are in an internet of their own.
suite "the jail" jail tests/jail -n 2 "${together[@]}"
section "packages of the guest" guest-packages.log install_guest_packages
# The guest has a processor in software to itself, and hardly waits; beside it the recordings.
suite "pure cgroup v2, in a guest; recorded answers of the service" guest tests/guest tests/conformance -n 2 "${together[@]}"
# Last and alone: they count what is on the host.
suite "crashes" crash tests/it/test_crash.py
suite "leaks" leaks tests/it/test_leaks.py

printf '\nall sections: %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
finish
