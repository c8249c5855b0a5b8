#!/usr/bin/env bash
# One verb for each job of CI, to be run by hand just as well: ./ci.sh all
set -euo pipefail
cd "$(dirname "$0")"

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
debian="$target/debian/unpacked/usr"
feature_sets=("" client packet-core serde json client,packet-core client,serde client,json packet-core,serde packet-core,json
    client,packet-core,serde client,packet-core,json)
foreign_targets=(x86_64-pc-windows-msvc aarch64-apple-darwin x86_64-unknown-freebsd wasm32-wasip1 i686-unknown-linux-gnu
    s390x-unknown-linux-gnu)

fmt()      {
    cargo fmt --all --check
    for apart in api benches/peers fuzz; do cargo fmt --check --manifest-path "$apart/Cargo.toml"; done
}
clippy()   { cargo clippy --locked --workspace --all-targets --all-features -- -D warnings; }
# The workspaces apart from the crate's own; what is fuzzed beyond the API is there for a fuzzer alone.
apart()    {
    for apart in api benches/peers fuzz; do
        RUSTFLAGS="--cfg fuzzing" cargo clippy --locked --manifest-path "$apart/Cargo.toml" --target-dir "$target/apart" -- -D warnings
    done
}
test_()    { cargo test --locked --all-features; }
portable() { cargo test --locked --tests --no-default-features --features packet-core,serde,json; } # on other systems
kernel()   {
    cargo build --locked --all-features --examples # which the tests of the drop-in conntrack run
    CTNETLINK_KERNEL=required cargo test --locked --all-features --test kernel
}
docs()     { RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features; }
features() {
    [ $# -gt 0 ] || set -- "${feature_sets[@]}"
    for set in "$@"; do
        echo "features: ${set:-none}"
        cargo clippy --locked --lib --no-default-features --features "$set" -- -D warnings
    done
}

# Everything but the sockets builds everywhere; the sockets, on a Linux of any word length and byte order. A target that is
# not installed is checked with a standard library made from Debian's sources.
targets()  {
    for name in "${foreign_targets[@]}"; do
        echo "targets: $name"
        if [ -d "$("${RUSTC:-rustc}" --print target-libdir --target "$name")" ]; then
            check_target cargo check --target "$name"
        elif debian_rust; then
            RUSTC_BOOTSTRAP=1 check_target with_debian_rust cargo check --target "$name" -Z build-std --target-dir "$target/debian"
        else
            skipped "targets: $name is not installed: rustup target add $name"
        fi
    done
}
check_target() {
    "$@" --locked --lib --no-default-features
    "$@" --locked --lib --all-features
}

# What is missing is said; a machine that is there for it has to have it.
skipped() { echo "$1; skipped" >&2; [ -z "${CI:-}" ]; }

# The library alone: what is for development follows the newest compiler.
msrv()     {
    if rustup toolchain list 2>/dev/null | grep -c '^1\.85' >/dev/null; then
        cargo +1.85 check --locked --lib --all-features --target-dir "$target/msrv"
    elif debian_rust; then
        with_debian_rust cargo check --locked --lib --all-features --target-dir "$target/msrv"
    else
        skipped "msrv: no Rust 1.85 here: rustup toolchain install 1.85 --profile minimal"
    fi
}

# Debian 12 has Rust 1.85 in packages, the sources of the standard library among them, which need not be installed to be
# used.
debian_rust() {
    local packages="$target/debian/packages"
    [ -x "$debian/bin/rustc" ] && [ -d "$debian/lib/rustlib/src/rust/library" ] && return
    command -v apt-get >/dev/null && command -v dpkg >/dev/null && mkdir -p "$packages" || return
    (
        cd "$packages"
        apt-get download -qq -o APT::Sandbox::User=root libllvm19 \
            rustc-web='1.85.0*' libstd-rust-web-dev='1.85.0*' libstd-rust-web-1.85='1.85.0*' rust-web-src='1.85.0*' \
            2>/dev/null || exit
        for package in *.deb; do dpkg -x "$package" "${debian%/usr}"; done
    )
}
with_debian_rust() { LD_LIBRARY_PATH="$debian/lib/x86_64-linux-gnu" RUSTC="$debian/bin/rustc" "$@"; }

# The public API, held against api/ctnetlink.txt; `./ci.sh api --update` writes it. Rustdoc's JSON is unstable, which takes
# no nightly but a word; in a folder of its own, since that word is part of what everything else is rebuilt by.
api()      {
    local found="$target/api/ctnetlink.txt"
    RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet --locked --lib --all-features --target-dir "$target/api" -- \
        -Z unstable-options --output-format json --cap-lints allow
    RUSTC_BOOTSTRAP=1 cargo run --quiet --locked --manifest-path api/Cargo.toml --target-dir "$target/api" -- \
        "$target/api/doc/ctnetlink.json" > "$found"
    if [ "${1:-}" = --update ]; then
        cp "$found" api/ctnetlink.txt
    else
        diff -u api/ctnetlink.txt "$found" || { echo "api: meant? ./ci.sh api --update" >&2; return 1; }
    fi
}

# What crates.io would get: builds from the package alone, documents included, and holds no recording of megabytes.
package()  {
    cargo package --locked --allow-dirty
    local archive
    archive=$(ls -t "$target"/package/ctnetlink-*.crate | head -n 1)
    [ "$(stat -c %s "$archive")" -le 1000000 ] || { echo "package: $archive is larger than 1 MB" >&2; return 1; }
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features --target-dir "$target" \
        --manifest-path "${archive%.crate}/Cargo.toml"
}

# Each target for a while, or one: ./ci.sh fuzz exchange 600. Inputs that reach something new go to fuzz/new.
fuzz()     {
    if ! cargo +nightly --version >/dev/null 2>&1; then
        echo "fuzz: needs a nightly toolchain: rustup toolchain install nightly --profile minimal" >&2
        return 1
    fi
    cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
    # No address sanitizer: all of the crate is safe code. What is built checks overflows and debug assertions.
    cargo +nightly fuzz build --sanitizer none
    xargs -P "$(nproc)" -I{} "$0" fuzz_one {} "${2:-20}" <<<"${1:-$(cargo fuzz list)}"
}
fuzz_one() {
    local corpora=("fuzz/new/$1" "fuzz/corpus/$1") output
    mkdir -p "${corpora[@]}"
    if output=$(cargo +nightly fuzz run --sanitizer none "$1" "${corpora[@]}" -- \
        -max_total_time="$2" -max_len=4096 -timeout=10 -verbosity=0 -print_final_stats=1 2>&1); then
        echo "fuzz: $1: $(grep -o 'executed_units: .*' <<<"$output" | tr -s ' ')"
    else
        echo "$output" >&2
        return 1
    fi
}

# Leaves of the inputs, those in fuzz/new among them, as few as reach what all of them reach.
minimise() {
    local name least counters
    for name in ${1:-$(cargo fuzz list)}; do
        # Of an exchange it counts how often a step is taken, of the others whether it is.
        counters=0
        [ "$name" != exchange ] || counters=1
        least="$target/least/$name"
        rm -rf "$least"
        mkdir -p "$least" "fuzz/new/$name"
        cargo +nightly fuzz run --sanitizer none "$name" "$least" "fuzz/corpus/$name" "fuzz/new/$name" -- \
            -set_cover_merge=1 -use_counters=$counters -max_len=4096 -verbosity=0
        rm -f "fuzz/corpus/$name"/*
        cp "$least"/* "fuzz/corpus/$name"
        echo "minimise: $name: $(ls "$least" | wc -l) inputs"
    done
}

all()      { fmt; clippy; apart; test_; portable; kernel; docs; features; targets; msrv; api; package; fuzz; }

case "${1:-all}" in
    test) test_ ;;
    api|features|fuzz|fuzz_one|minimise) "$1" "${@:2}" ;;
    fmt|clippy|apart|portable|kernel|docs|targets|msrv|package|all) "$1" ;;
    *) echo "usage: ./ci.sh [fmt|clippy|apart|test|portable|kernel|docs|features [SET...]|targets|msrv|api [--update]|package|fuzz [TARGET [SECONDS]]|minimise [TARGET]|all]" >&2; exit 2 ;;
esac
