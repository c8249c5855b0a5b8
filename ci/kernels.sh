#!/usr/bin/env bash
# Runs the kernel tests under the kernels of Debian 12 on x86-64: ci/kernels.sh [SERIES...] (default: 6.1 6.12).
# KERNEL_TESTS holds arguments for the test program, for example KERNEL_TESTS=batches::
set -euo pipefail
cd "$(dirname "$0")/.."

# Linked statically, the programs run on the guest's C library whatever the host's is. They are built apart, since the
# flag would have everything else rebuilt.
target=x86_64-unknown-linux-gnu
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# An emulated processor is slow: optimizing takes less time than it saves.
export CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
build=(--locked --all-features --target "$target" --target-dir "$CARGO_TARGET_DIR/static")
cargo build "${build[@]}" --examples
cargo test "${build[@]}" --test kernel --no-run

[ $# -gt 0 ] || set -- 6.1 6.12
failed=()
for series in "$@"; do
    # shellcheck disable=SC2086 # KERNEL_TESTS may hold several arguments.
    ci/guest.sh amd64 "$series" "$CARGO_TARGET_DIR/static/$target/debug" ${KERNEL_TESTS:-} || failed+=("$series")
done
[ ${#failed[@]} -eq 0 ] || { echo "kernels: tests fail on ${failed[*]}" >&2; exit 1; }
