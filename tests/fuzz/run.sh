#!/usr/bin/env bash
# Builds the fuzz targets and runs them: everything that reads bytes it cannot trust.
#
#   tests/fuzz/run.sh                         every target, 10 seconds each
#   tests/fuzz/run.sh --seconds 600           ten minutes each
#   tests/fuzz/run.sh codec zip_reader        some targets
#   tests/fuzz/run.sh --list                  their names
#
# Needs a stable Rust toolchain and a C++ compiler. What is found grows in target/fuzz/corpus; seeds/ holds the start.
# An input that breaks a target is kept in target/fuzz/crashes and its name printed; the exit code is then 1. Each
# target ends with one line `fuzz NAME: ok, N inputs` or `fuzz NAME: FAILED …`.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
here=$PWD
place=$(cd ../.. && pwd)/target/fuzz

targets() { sed -n '/^\[\[bin\]\]/{n;s/^name = "\(.*\)"/\1/p}' Cargo.toml; }

seconds=10 chosen=()
while [ $# -gt 0 ]; do
    case "$1" in
        --seconds)
            seconds=${2:-}
            if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then echo "tests/fuzz/run.sh: --seconds needs a number above 0" >&2; exit 2; fi
            shift
            ;;
        --list) targets; exit 0 ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        -*) echo "tests/fuzz/run.sh: unknown option $1 (known: --seconds N, --list)" >&2; exit 2 ;;
        *)
            if ! targets | grep -qx -- "$1"; then
                echo "tests/fuzz/run.sh: no target $1; there are: $(targets | paste -sd' ')" >&2
                exit 2
            fi
            chosen+=("$1")
            ;;
    esac
    shift
done
[ "${#chosen[@]}" = 0 ] && mapfile -t chosen < <(targets)

# Coverage for libFuzzer as a stable compiler gives it: LLVM's own pass, without the sanitizers that need a nightly one.
instrumentation="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
# Named, even if it is the machine's own: then build scripts and macros are not instrumented.
host=$(rustc -vV | sed -n 's/^host: //p')
names=()
for name in "${chosen[@]}"; do names+=(--bin "$name"); done
if ! RUSTFLAGS=$instrumentation CARGO_TARGET_DIR=$place cargo build --quiet --locked --target "$host" "${names[@]}"; then
    echo "tests/fuzz/run.sh: the targets cannot be built" >&2
    exit 1
fi

failed=0
for name in "${chosen[@]}"; do
    mkdir -p "$place/corpus/$name" "$place/crashes" "$here/seeds/$name"
    log=$place/$name.log
    # Bounds that are themselves claims: no input of 64 KiB takes 5 seconds or 1 GiB.
    options=(-max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1
        -verbosity=1 -artifact_prefix="$place/crashes/$name-")
    [ -f "$here/dictionaries/$name" ] && options+=(-dict="$here/dictionaries/$name")
    if "$place/$host/debug/$name" "${options[@]}" "$place/corpus/$name" "$here/seeds/$name" >"$log" 2>&1; then
        tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -1)
        echo "fuzz $name: ok, ${tried:-0} inputs in ${seconds} s, ${covered:-cov: ?}"
    else
        failed=1
        grep -E "panicked at|^SUMMARY|Test unit written|libFuzzer: " -A 2 "$log" | tail -20
        echo "fuzz $name: FAILED; the whole output is in $log"
    fi
done
exit $failed
