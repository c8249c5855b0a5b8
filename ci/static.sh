#!/usr/bin/env bash
# Runs the static programs `list` and `conntrack` of a folder in an empty root directory: ci/static.sh FOLDER. Needs to be
# root of a network namespace without flows.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$1/list" "$1/conntrack" "$root/"

run() { chroot "$root" "$@"; }
expect() {
    local expected=$1 found
    shift
    found=$(run "$@" 2>&1) || true
    [[ $found == *"$expected"* ]] || { printf 'static: %s: expected %s, found:\n%s\n' "$*" "$expected" "$found" >&2; exit 1; }
}
tuple=(-p udp --src 192.0.2.1 --dst 192.0.2.2 --sport 5353 --dport 53)
expect "1 flow entries have been created" /conntrack -I "${tuple[@]}" --timeout 600
expect "src=192.0.2.1" /conntrack -L
expect "192.0.2.1" /list
expect "1 flow entries have been deleted" /conntrack -D "${tuple[@]}"
expect "0 flow entries have been shown" /conntrack -L
echo "static: list ($(stat -c %s "$root/list") bytes) and conntrack ($(stat -c %s "$root/conntrack") bytes) run in an empty root"
