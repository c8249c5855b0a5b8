#!/usr/bin/env bash
# Runs the jobs of CI, one verb for each: ./ci.sh clippy. Without a verb, everything that one machine can run in an hour.
set -euo pipefail
cd "$(dirname "$0")"
. ci/packages.sh

target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$PWD/$target
workspaces_apart=(api benches/peers fuzz)
feature_sets=("" client packet-core serde json fake "client,fake" "client,packet-core" "client,serde" "client,json"
    "packet-core,serde" "packet-core,json" "client,packet-core,serde" "client,packet-core,json")
portable_targets=(x86_64-pc-windows-msvc aarch64-apple-darwin x86_64-unknown-freebsd wasm32-wasip1 i686-unknown-linux-gnu
    s390x-unknown-linux-gnu aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf)
musl=x86_64-unknown-linux-musl

usage() {
    cat <<'USAGE'
usage: ./ci.sh [VERB [ARGUMENT...]]

  all                          every verb below but kernels and foreign (the default)

  fmt                          formatting of every workspace
  clippy                       lints of the library, its tests, examples and benches
  apart                        lints of the workspaces apart: api, benches/peers and fuzz
  test                         the tests, those against this machine's kernel included if it allows them
  kernel                       the tests against this machine's kernel; fails if it does not allow them
  portable                     the tests that run on every operating system
  tools [ARGUMENT...]          the tests of the programs in tools/, against the real peers that are installed
  docs                         the documentation, without broken links
  features [SET...]            lints of the library with each set of features
  targets                      a check of the library for other systems; static programs for musl run in an empty root
  msrv                         a check of the library with the oldest supported compiler
  api [--update]               the public API, compared with api/ctnetlink.txt
  package                      the package for crates.io builds, and a dry run of cargo publish succeeds
  semver                       the public API, compared with the last release: see RELEASING.md
  budget                       limits for the number of crates, the package and a static program
  fuzz [TARGET [SECONDS]]      fuzzing, 20 seconds for each target; with 0 seconds, a replay of the kept inputs
  minimize [TARGET [COUNT]]    corpora of at most COUNT inputs (default 100), chosen by coverage

  kernels [SERIES...]          the kernel tests under Debian's kernels 6.1 and 6.12, in qemu
  foreign [TARGET [tests|kernel]]
                               the tests for s390x, aarch64 and i686, in qemu
USAGE
}

fmt() {
    cargo fmt --all --check
    for workspace in "${workspaces_apart[@]}"; do cargo fmt --check --manifest-path "$workspace/Cargo.toml"; done
}

clippy() { cargo clippy --locked --workspace --all-targets --all-features -- -D warnings; }

# Code for the fuzzer alone is behind cfg(fuzzing).
apart() {
    for workspace in "${workspaces_apart[@]}"; do
        RUSTFLAGS="--cfg fuzzing" cargo clippy --locked --manifest-path "$workspace/Cargo.toml" \
            --target-dir "$target/apart" -- -D warnings
    done
}

test_() { cargo test --locked --all-features; }

portable() { cargo test --locked --tests --no-default-features --features fake,packet-core,serde,json; }

kernel() {
    cargo build --locked --all-features --examples # The tests of the drop-in `conntrack` run it.
    CTNETLINK_KERNEL=required cargo test --locked --all-features --test kernel
}

tools() { cargo test --locked -p ctnetlink-tools "$@"; }

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --no-default-features --features fake
}

features() {
    [ $# -gt 0 ] || set -- "${feature_sets[@]}"
    for set in "$@"; do
        echo "features: ${set:-none}"
        cargo clippy --locked --lib --no-default-features --features "$set" -- -D warnings
    done
}

# Everything without a socket builds on every system, the sockets on Linux of any word length and byte order. A target
# that is not installed is checked with a standard library built from Debian's sources.
targets() {
    for name in "${portable_targets[@]}"; do
        echo "targets: $name"
        if [ -d "$("${RUSTC:-rustc}" --print target-libdir --target "$name")" ]; then
            check_target cargo check --target "$name"
        elif debian_rust "$target/debian-rust-1.85" 1.85; then
            RUSTC_BOOTSTRAP=1 check_target with_debian_rust "$target/debian-rust-1.85" \
                cargo check --target "$name" -Z build-std --target-dir "$target/debian"
        else
            skipped "targets: $name is not installed: rustup target add $name"
        fi
    done
    if static_programs; then
        unshare_network ci/static.sh "$target/$musl/release/examples"
    else
        skipped "targets: $musl is not installed: rustup target add $musl"
    fi
}
check_target() {
    "$@" --locked --lib --no-default-features
    "$@" --locked --lib --all-features
}

# Builds the library and two programs that need no file of the system on which they run.
static_programs() {
    local command=(cargo build --locked --release --target "$musl" --target-dir "$target"
        --lib --example list --example conntrack)
    echo "static: $musl"
    export CARGO_PROFILE_RELEASE_STRIP=true
    if [ -d "$("${RUSTC:-rustc}" --print target-libdir --target "$musl")" ]; then
        "${command[@]}"
    elif debian_rust "$target/debian-rust" "" && debian_musl "$target/debian-rust"; then
        RUSTC_BOOTSTRAP=1 with_debian_rust "$target/debian-rust" "${command[@]}" -Z build-std
    else
        return 1
    fi
}
# Runs a command as root of a new network namespace, in a user namespace if this process is not root.
unshare_network() {
    if [ "$(id -u)" -eq 0 ]; then
        unshare --net "$@"
    elif unshare --user --map-root-user --net true 2>/dev/null; then
        unshare --user --map-root-user --net "$@"
    else
        sudo unshare --net "$@"
    fi
}

# Says what is missing. A machine of CI must have it.
skipped() { echo "$1; skipped" >&2; [ -z "${CI:-}" ]; }

# The library alone: tests, examples and benches follow newer compilers.
msrv() {
    if rustup toolchain list 2>/dev/null | grep -c '^1\.85' >/dev/null; then
        cargo +1.85 check --locked --lib --all-features --target-dir "$target/msrv"
    elif debian_rust "$target/debian-rust-1.85" 1.85; then
        with_debian_rust "$target/debian-rust-1.85" \
            cargo check --locked --lib --all-features --target-dir "$target/msrv"
    else
        skipped "msrv: no Rust 1.85 here: rustup toolchain install 1.85 --profile minimal"
    fi
}

# Rustdoc's JSON is unstable, but RUSTC_BOOTSTRAP saves a nightly toolchain. The target folder is apart because that
# variable has everything rebuilt.
# shellcheck disable=SC2120
api() {
    local found="$target/api/ctnetlink.txt"
    RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet --locked --lib --all-features --target-dir "$target/api" -- \
        -Z unstable-options --output-format json --cap-lints allow
    RUSTC_BOOTSTRAP=1 cargo run --quiet --locked --manifest-path api/Cargo.toml --target-dir "$target/api" -- \
        "$target/api/doc/ctnetlink.json" >"$found"
    if [ "${1:-}" = --update ]; then
        cp "$found" api/ctnetlink.txt
    else
        diff -u api/ctnetlink.txt "$found" || { echo "api: intended? ./ci.sh api --update" >&2; return 1; }
    fi
}

# The package must build on its own, with its documentation, and its README must not link to a file that it lacks.
package() {
    cargo package --locked --allow-dirty
    local folder output link
    folder=$target/package/$(package_name)
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features --target-dir "$target" \
        --manifest-path "$folder/Cargo.toml"
    # crates.io resolves relative links against the field `repository`.
    while read -r link; do
        [ -e "$folder/$link" ] || { echo "package: README.md links to $link, which is not in the package" >&2; return 1; }
    done < <(grep -oE '\]\([^) #]+|^\[[^]]+\]: *[^ #]+' "$folder/README.md" | sed -E 's/^.*\]:? *\(?//' | grep -v '^https\?:')
    if ! output=$(cargo publish --locked --allow-dirty --dry-run --no-verify --registry crates-io 2>&1); then
        grep -qiE 'failed to (download|fetch|query|get)|could not (connect|resolve)|network' <<<"$output" || { echo "$output" >&2; return 1; }
        echo "package: crates.io cannot be reached; the dry run of cargo publish is skipped" >&2
    fi
}
package_name() { cargo pkgid --locked | sed -E 's/.*#(.*)@(.*)/\1-\2/; s/.*#(.*)/ctnetlink-\1/'; }

# Compares the public API with the last release: the package that CTNETLINK_BASELINE names, or else the newest tag.
semver() {
    local baseline tag
    if ! cargo semver-checks --version >/dev/null 2>&1; then
        skipped "semver: cargo-semver-checks is not installed: cargo install --locked cargo-semver-checks"
        return
    fi
    if [ -n "${CTNETLINK_BASELINE:-}" ]; then
        rm -rf "$target/baseline"
        mkdir -p "$target/baseline"
        tar -C "$target/baseline" --strip-components 1 -xf "$CTNETLINK_BASELINE"
        # It lies inside this workspace but is not a member.
        echo '[workspace]' >>"$target/baseline/Cargo.toml"
        baseline=(--baseline-root "$target/baseline")
    elif tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null); then
        baseline=(--baseline-rev "$tag")
    else
        echo "semver: no release to compare with; skipped (see RELEASING.md)" >&2
        return
    fi
    cargo semver-checks check-release --package ctnetlink --all-features "${baseline[@]}"
}

# Limits of what users build and ship. Raise one only together with its reason in DESIGN.md.
budget() {
    cargo package --quiet --locked --allow-dirty --no-verify
    within "crates of the default library" "$(count_crates)" 14
    within "crates without features" "$(count_crates --no-default-features)" 3
    within "bytes of the package" "$(stat -c %s "$target/package/$(package_name).crate")" 550000
    if static_programs; then
        within "bytes of the static program list" "$(stat -c %s "$target/$musl/release/examples/list")" 1500000
    else
        skipped "budget: $musl is not installed: rustup target add $musl"
    fi
}
count_crates() {
    cargo tree --locked --target x86_64-unknown-linux-gnu --edges normal,build --prefix none "$@" |
        sed 's/ (.*//' | sort -u | grep -c .
}
within() {
    echo "budget: $1: $2 of $3"
    [ "$2" -le "$3" ] || { echo "budget: expected at most $3 $1, found $2" >&2; return 1; }
}

# Fuzzes each target for 20 seconds, or one for longer: ./ci.sh fuzz exchange 600. Inputs with new coverage go to
# fuzz/new. FUZZ_SEED repeats a run: the same seed on the same corpus tries the same inputs.
# shellcheck disable=SC2120 # The arguments come from the command line.
fuzz() {
    needs_cargo_fuzz
    # No sanitizer, because the crate is safe code. Overflow checks and debug assertions are on.
    cargo +nightly fuzz build --sanitizer none
    xargs -P "$(nproc)" -I{} "$0" fuzz_one {} "${2:-20}" <<<"${1:-$(cargo fuzz list)}"
}
fuzz_one() {
    local corpora=("fuzz/new/$1" "fuzz/corpus/$1" "fuzz/regressions/$1") limit="-max_total_time=$2" output
    [ "$2" -gt 0 ] || limit=-runs=0
    mkdir -p "${corpora[@]}"
    if output=$(cargo +nightly fuzz run --sanitizer none "$1" "${corpora[@]}" -- \
        "$limit" ${FUZZ_SEED:+-seed="$FUZZ_SEED"} -max_len=4096 -timeout=10 -verbosity=0 -print_final_stats=1 2>&1); then
        echo "fuzz: $1: $(grep -o 'executed_units: .*' <<<"$output" | tr -s ' ')"
    else
        echo "$output" >&2
        return 1
    fi
}
needs_cargo_fuzz() {
    cargo +nightly --version >/dev/null 2>&1 ||
        { echo "fuzz: needs a nightly toolchain: rustup toolchain install nightly --profile minimal" >&2; return 1; }
    cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
}

# Merges fuzz/new into the corpora and reduces each to the inputs that cover most.
minimize() {
    needs_cargo_fuzz
    cargo +nightly fuzz build --sanitizer none
    local name
    for name in ${1:-$(cargo fuzz list)}; do ci/minimize.sh "$name" "${2:-100}"; done
}

# shellcheck disable=SC2119
all() { fmt; clippy; apart; test_; tools; portable; kernel; docs; features; targets; msrv; api; package; semver; budget; fuzz; }

case "${1:-all}" in
    test) test_ ;;
    kernels|foreign) "ci/$1.sh" "${@:2}" ;;
    api|features|tools|fuzz|fuzz_one|minimize) "$1" "${@:2}" ;;
    fmt|clippy|apart|portable|kernel|docs|targets|msrv|package|semver|budget|all) "$1" ;;
    help|-h|--help) usage ;;
    *) usage >&2; exit 2 ;;
esac
