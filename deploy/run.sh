#!/usr/bin/env bash
# From a clone to a running daemon: checks or installs what is needed, builds, starts `hearth serve`, deploys the
# sample functions, says what to do next. Ctrl-C ends it cleanly. Run it again whenever you like.
#
#   deploy/run.sh [--no-samples] [-- ARGUMENTS OF hearth serve]
#
#   HEARTH_STATE_DIR   where functions and logs are kept (default /var/lib/hearth)
#   HEARTH_LISTEN      address of the API (default 127.0.0.1:3001)
#   HEARTH_BIN         a program that is built already: nothing is built, and no toolchain is asked for
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
state=${HEARTH_STATE_DIR:-/var/lib/hearth}
samples=1
ready_within_s=60

tell() { printf '==> %s\n' "$*"; }
give_up() { printf 'deploy/run.sh: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case "$1" in
        --no-samples) samples=0 ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        --) shift; break ;;
        *) give_up "unknown argument $1 (known: --no-samples; what follows -- goes to hearth serve)" ;;
    esac
    shift
done

[ "$(uname -s)" = Linux ] || give_up "Hearth runs on Linux"
[ "$(id -u)" = 0 ] || give_up "needs root, because every function gets namespaces, mounts and control groups of its own; try: sudo $0"

# --- prerequisites ---

missing=()
has() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
hearth=${HEARTH_BIN:-}
[ -z "$hearth" ] || [ -x "$hearth" ] || give_up "HEARTH_BIN: there is no program $hearth"
if [ -z "$hearth" ]; then
    has cc build-essential
    has pkg-config pkg-config
fi
has python3 python3
has node nodejs
has curl curl
has mkfs.ext4 e2fsprogs
PATH=$PATH:/usr/sbin:/sbin has nft nftables
[ "$samples" = 0 ] || python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
if [ "${#missing[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null 2>&1 || give_up "please install what these Debian packages hold: ${missing[*]}"
    tell "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
[ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH

# --- build ---

if [ -z "$hearth" ]; then
    command -v cargo >/dev/null 2>&1 || give_up "a Rust toolchain is missing; install it from https://rustup.rs, then run this again"
    tell "building (the first time takes a few minutes)"
    cargo build --release --locked
    hearth=$root/target/release/hearth
fi

# --- start ---

said=$(mktemp)
daemon=
clean_up() {
    trap - EXIT INT TERM
    if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
        tell "stopping"
        kill -TERM "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -f "$said" "$said.last"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A process group of its own, so that Ctrl-C reaches this script first and the daemon gets one orderly SIGTERM.
set -m
"$hearth" serve --state-dir "$state" "$@" >"$said" &
daemon=$!
set +m

for _ in $(seq $((ready_within_s * 10))); do
    endpoint=$(sed -n 's/^hearth: listening on //p' "$said")
    [ -n "$endpoint" ] && break
    kill -0 "$daemon" 2>/dev/null || { wait "$daemon" || code=$?; daemon=; give_up "hearth serve ended with exit code ${code:-0}; its message is above"; }
    sleep 0.1
done
[ -n "$endpoint" ] || give_up "hearth serve did not become ready within $ready_within_s s"
tell "listening on $endpoint"

# --- samples ---

export HEARTH_ENDPOINT=$endpoint HEARTH_STATE_DIR=$state

# Prints what a sample's function.json says, one value a line.
describe() {
    python3 - "$1/function.json" <<'PY'
import json, sys

told = json.load(open(sys.argv[1]))
print(told.get("build", ""), told.get("path", "."), told["handler"], told.get("memory", 128), told.get("timeout", 3), sep="\n")
print(told["runtime"], *told.get("or_runtimes", []))
PY
}

# Deploys one sample with the first of its runtimes that this host can serve.
deploy_sample() {
    local folder=$1 build path handler memory timeout runtimes runtime
    { read -r build; read -r path; read -r handler; read -r memory; read -r timeout; read -r runtimes; } < <(describe "$folder")
    if [ -n "$build" ] && ! sh "$folder/$build" >"$said.last" 2>&1; then
        cat "$said.last" >&2
        return 1
    fi
    for runtime in $runtimes; do
        if "$hearth" deploy "$folder/$path" --name "$(basename "$folder")" --runtime "$runtime" --handler "$handler" \
            --memory "$memory" --timeout "$timeout" >"$said.last" 2>&1; then
            tell "deployed $(basename "$folder") ($runtime)"
            return 0
        fi
    done
    cat "$said.last" >&2
    return 1
}

if [ "$samples" = 1 ]; then
    for description in sample-functions/*/function.json; do
        folder=$(dirname "$description")
        deploy_sample "$folder" || tell "left out $(basename "$folder"): see the message above"
    done
fi

cat <<EOF

Hearth is running. In another terminal:

  $hearth list
  $hearth invoke python-hello '{"name": "you"}'

  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=${HEARTH_REGION:-us-east-1}
  aws --endpoint-url $endpoint lambda list-functions

Ctrl-C stops it.
EOF
code=0
wait "$daemon" || code=$?
daemon=
exit "$code"
