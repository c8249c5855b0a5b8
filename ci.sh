#!/usr/bin/env bash
# One verb for each job of CI, to be run by hand just as well: ./ci.sh all
set -euo pipefail
cd "$(dirname "$0")"

fmt()      { cargo fmt --check; }
clippy()   { cargo clippy --locked --all-targets --all-features -- -D warnings; }
test_()    { cargo test --locked --all-features; }
kernel()   {
    cargo build --locked --all-features --examples # which the tests of the drop-in conntrack run
    CTNETLINK_KERNEL=required cargo test --locked --all-features --test kernel
}
docs()     { RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features; }
features() {
    for set in "" client packet-core serde client,serde client,packet-core packet-core,serde; do
        echo "features: ${set:-none}"
        cargo check --locked --no-default-features --features "$set"
    done
}
all()      { fmt; clippy; test_; kernel; docs; features; }

case "${1:-all}" in
    test) test_ ;;
    fmt|clippy|kernel|docs|features|all) "$1" ;;
    *) echo "usage: ./ci.sh [fmt|clippy|test|kernel|docs|features|all]" >&2; exit 2 ;;
esac
