#!/usr/bin/env bash
# Builds and runs the tests for other processors: ci/foreign.sh [TARGET [tests|kernel]].
#
#   TARGET   s390x-unknown-linux-gnu (big endian), aarch64-unknown-linux-gnu or i686-unknown-linux-gnu; default: all
#   tests    every test but `kernel`, under qemu-user unless the host runs the programs itself
#   kernel   the test `kernel`: i686 on the host's kernel, the others in a virtual machine (ci/guest.sh)
#
# Without tests or kernel, both. FOREIGN_TESTS replaces the arguments of the first (FOREIGN_TESTS="--test codec"),
# KERNEL_TESTS holds arguments for the second.
#
# A target that rustup has not installed is built with Debian's compiler and the sources of its standard library.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/packages.sh

if [ $# -eq 0 ]; then
    failed=()
    for target in s390x-unknown-linux-gnu aarch64-unknown-linux-gnu i686-unknown-linux-gnu; do
        "$0" "$target" || failed+=("$target")
    done
    [ ${#failed[@]} -eq 0 ] || { echo "foreign: tests fail on ${failed[*]}" >&2; exit 1; }
    exit
fi

target=$1 mode=${2:-}
case $target in
    s390x-*) architecture=s390x prefix=s390x-linux-gnu emulator=qemu-s390x-static ;;
    aarch64-*) architecture=arm64 prefix=aarch64-linux-gnu emulator=qemu-aarch64-static ;;
    i686-*) architecture=i386 prefix=i686-linux-gnu emulator=qemu-i386-static ;;
    *) echo "foreign: no recipe for $target" >&2; exit 2 ;;
esac
case $mode in ""|tests|kernel) ;; *) echo "foreign: expected tests or kernel, found $mode" >&2; exit 2 ;; esac
install_packages "gcc-$prefix" "libc6-dev-$architecture-cross" qemu-user-static

folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# An emulated processor is slow: optimizing takes less time than it saves.
export CARGO_TARGET_DIR=$folder CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1
variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")
export "${variable}_LINKER=$prefix-gcc"
# Static programs need no library of that architecture, neither under qemu-user nor in a virtual machine.
export "${variable}_RUSTFLAGS=-C target-feature=+crt-static"
runs_here=false
[ "$architecture" != i386 ] || ! setarch i686 true 2>/dev/null || runs_here=true
if ! $runs_here; then
    export "${variable}_RUNNER=$emulator"
    # qemu-user does not know NETLINK_NETFILTER. Unit tests that need a socket are ignored, with the reason.
    export "${variable}_RUSTFLAGS=-C target-feature=+crt-static --cfg no_netfilter_socket"
fi

options=(--locked --all-features --target "$target" --target-dir "$folder/static")
compile=()
if [ ! -d "$(rustc --print target-libdir --target "$target")" ]; then
    # The newest that Debian has, since the tests need a newer one than the library does.
    debian_rust "$folder/debian-rust" "" || { echo "foreign: rustup target add $target" >&2; exit 1; }
    export RUSTC_BOOTSTRAP=1
    compile=(with_debian_rust "$folder/debian-rust")
    options+=(-Z build-std)
fi

if [ "$mode" != kernel ]; then
    tests=(--lib)
    for test in tests/*.rs tests/*/main.rs; do
        test=${test%/main.rs}
        test=$(basename "$test" .rs)
        [ "$test" = kernel ] || tests+=(--test "$test")
    done
    # shellcheck disable=SC2086 # FOREIGN_TESTS may hold several arguments.
    "${compile[@]}" cargo test "${options[@]}" --no-fail-fast ${FOREIGN_TESTS:-"${tests[@]}"}
fi
if [ "$mode" != tests ]; then
    "${compile[@]}" cargo build "${options[@]}" --examples
    "${compile[@]}" cargo test "${options[@]}" --test kernel --no-run
    # shellcheck disable=SC2086 # KERNEL_TESTS may hold several arguments.
    if [ "$architecture" != i386 ]; then
        ci/guest.sh "$architecture" 6.1 "$folder/static/$target/debug" ${KERNEL_TESTS:-}
    elif $runs_here; then
        "${compile[@]}" cargo test "${options[@]}" --test kernel -- ${KERNEL_TESTS:-}
    else
        echo "foreign: this kernel runs no 32-bit programs; the kernel tests are skipped" >&2
    fi
fi
