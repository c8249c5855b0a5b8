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

# Adds to the compiler in that folder what it needs to link static programs for x86_64-unknown-linux-musl: the start files
# and the C library of Debian's musl, and LLVM's unwinder, because GCC's needs glibc.
debian_musl() {
    local beside=$1/usr/lib/rustlib/x86_64-unknown-linux-musl/lib/self-contained object
    [ ! -e "$beside/libunwind.a" ] || return 0
    install_packages gcc musl-dev musl-tools
    mkdir -p "$beside" "$1/unwind"
    cp /usr/lib/x86_64-linux-musl/{crt1.o,Scrt1.o,rcrt1.o,crti.o,crtn.o,libc.a} "$beside/"
    for object in crtbegin.o crtbeginS.o crtend.o crtendS.o; do cp "$(gcc -print-file-name=$object)" "$beside/"; done
    (
        cd "$1/unwind" || exit
        apt-get download -qq -o APT::Sandbox::User=root libunwind-14-dev || exit
        dpkg -x libunwind-14-dev_*.deb .
        # The only function of glibc that the unwinder uses.
        printf '%s\n' '#include <stdarg.h>' '#include <stdio.h>' \
            'int __fprintf_chk(FILE *file, int flag, const char *format, ...) {' \
            '    va_list list; va_start(list, format);' \
            '    int length = vfprintf(file, format, list); va_end(list); return length; }' >chk.c
        musl-gcc -O2 -fPIC -c chk.c
        ar r usr/lib/llvm-14/lib/libunwind.a chk.o 2>/dev/null
        cp usr/lib/llvm-14/lib/libunwind.a "$beside/"
    )
}

# Runs a command with the compiler in that folder: with_debian_rust FOLDER COMMAND...
with_debian_rust() {
    LD_LIBRARY_PATH="$1/usr/lib/x86_64-linux-gnu" RUSTC="$1/usr/bin/rustc" "${@:2}"
}
