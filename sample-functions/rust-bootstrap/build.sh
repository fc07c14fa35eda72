#!/bin/sh
# Builds build/bootstrap, the native program that is deployed. Needs cargo; run it again after a change.
set -eu
cd "$(dirname "$0")"
if ! command -v cargo >/dev/null 2>&1; then
    echo "rust-bootstrap: cargo is missing; install a Rust toolchain (https://rustup.rs), then run this again" >&2
    exit 1
fi
echo "rust-bootstrap: building with cargo (the first build takes a minute or two)"
cargo build --release --locked --target-dir target
mkdir -p build
install -m 0755 target/release/bootstrap build/bootstrap
echo "rust-bootstrap: build/bootstrap is ready"
