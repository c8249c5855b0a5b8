#!/usr/bin/env bash
# Debian packages that the scripts beside this file need. To be sourced.

# Installs the packages that are missing. Without root, it asks sudo.
install_packages() {
    dpkg -s "$@" >/dev/null 2>&1 && return
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Unpacks Debian's Rust compiler and the sources of its standard library into a folder, without installing them. They
# build the standard library for targets that rustup has not installed. Fails if this system has no such packages.
#
#   debian_rust FOLDER VERSION     VERSION is a prefix such as 1.85, or empty for the newest
debian_rust() {
    local folder=$1 version=$2 llvm std
    [ ! -d "$folder/usr/lib/rustlib/src/rust/library" ] || return 0
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return
    version=$(apt-cache show rustc-web 2>/dev/null |
        awk -v wanted="$version" '$1 == "Version:" && index($2, wanted) == 1 && !found { found = $2 } END { print found }')
    [ -n "$version" ] || return
    std=libstd-rust-web-$(cut -d. -f1,2 <<<"$version")
    llvm=$(apt-cache show "$std=$version" | grep -oE 'libllvm[0-9.]+' | sort -u) || return
    mkdir -p "$folder/packages"
    (
        cd "$folder/packages" || exit
        apt-get download -qq -o APT::Sandbox::User=root "$llvm" "$std=$version" "rustc-web=$version" \
            "libstd-rust-web-dev=$version" "rust-web-src=$version" 2>/dev/null || exit
        for package in *.deb; do dpkg -x "$package" "$folder"; done
        rm -- *.deb
    )
}

# Runs a command with the compiler in that folder: with_debian_rust FOLDER COMMAND...
with_debian_rust() {
    LD_LIBRARY_PATH="$1/usr/lib/x86_64-linux-gnu" RUSTC="$1/usr/bin/rustc" "${@:2}"
}
