#!/usr/bin/env bash
# Builds what the benchmarks need and runs them: every option that is not listed here goes to hearth-bench.
#
#   benches/run.sh                         all rows, 15 pairs each, results in benches/results
#   benches/run.sh --rows C4,W1,W4         some rows
#   benches/run.sh --pairs 30 --out DIR    more pairs, another place
#   benches/run.sh --calibrate             the comparators against themselves (needs no root)
#   benches/run.sh --help                  all options
#
# HEARTH_BIN names a binary to measure; without it target/release/hearth is built and measured.
# HEARTH_BENCH_PYTHON names the interpreter of the Python rows; without it the first usable python3 is taken.
set -euo pipefail

benches=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$benches")
target=${CARGO_TARGET_DIR:-$root/target}
built=$target/benches

say() { printf 'benches/run.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

out=$benches/results rows=all calibrate=no informational=no
arguments=("$@")
for ((i = 0; i < ${#arguments[@]}; i++)); do
  case ${arguments[i]} in
    --out) out=${arguments[i + 1]:-$out} ;;
    --rows) rows=${arguments[i + 1]:-$rows} ;;
    --calibrate) calibrate=yes ;;
    --help | -h | --list) informational=yes ;;
  esac
done

command -v cargo >/dev/null || die "cargo is missing: install the Rust toolchain that rust-toolchain.toml names"
command -v cc >/dev/null || die "cc is missing: apt-get install build-essential"

say "building the harness"
cargo build --quiet --release --manifest-path "$benches/Cargo.toml" -p hearth-bench --target-dir "$built"
bench=$built/release/hearth-bench
[[ $informational == no ]] || exec "$bench" "$@"
# Reads all options before it lists anything: a wrong one is refused now, not after the long build.
"$bench" "$@" --list >/dev/null

# The measured programs are static, so that the time to load libraries is in neither side of a pair. A target named
# outright keeps the flag away from what cargo builds for itself.
triple=$(rustc -vV | sed -n 's/^host: //p')
say "building the static programs"
if RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --release --manifest-path "$benches/Cargo.toml" \
  -p hearth-bench-programs --target "$triple" --target-dir "$built/static"; then
  programs=$built/static/$triple/release
else
  say "static linking does not work here (libc6-dev has the static C library); the programs are dynamic"
  cargo build --quiet --release --manifest-path "$benches/Cargo.toml" -p hearth-bench-programs --target-dir "$built"
  programs=$built/release
fi

options=(--programs "$programs" --out "$out")

if [[ $calibrate == no ]]; then
  [[ $(id -u) == 0 ]] || die "Hearth makes sandboxes: run as root (or with --calibrate)"
  if [[ -n ${HEARTH_BIN:-} ]]; then
    hearth=$HEARTH_BIN
  else
    say "building hearth"
    cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin hearth --target-dir "$target"
    hearth=$target/release/hearth
  fi
  [[ -x $hearth ]] || die "$hearth is not an executable file"
  options+=(--hearth "$hearth")
fi

# The Python rows: the real binary (a version manager's python3 is a shim that starts the real one), and the official
# runtime client in a directory of its own, so that no virtual environment's start-up is measured.
python_row() {
  local shim=${HEARTH_BENCH_PYTHON:-python3} real version packages
  command -v "$shim" >/dev/null || { say "no python3: row C1 will be skipped"; return 0; }
  real=$("$shim" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))')
  version=$("$real" -c 'import sys; print("python3.%d" % sys.version_info[1])')
  packages=$built/awslambdaric-$version
  if ! PYTHONPATH=$packages "$real" -c 'import awslambdaric' 2>/dev/null; then
    say "installing the official runtime client for $version"
    mkdir -p "$built"
    "$real" -m venv "$built/venv-$version" \
      && "$built/venv-$version/bin/pip" install --quiet --disable-pip-version-check --target "$packages" awslambdaric \
      || { say "the official runtime client cannot be installed: row C1 will be skipped"; return 0; }
  fi
  options+=(--python "$real" --python-packages "$packages" --python-runtime "$version")
}
case ,$rows, in
  *,all,* | *,[Cc]1,*) python_row ;;
esac

commit=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
[[ -z $(git -C "$root" status --porcelain 2>/dev/null) ]] || commit+=-dirty
exec "$bench" "${options[@]}" --commit "$commit" --date "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$@"
