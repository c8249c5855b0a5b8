#!/usr/bin/env bash
# Boots a kernel of Debian 12 in qemu and runs the kernel tests in it.
#
#   ci/guest.sh ARCHITECTURE SERIES PROGRAMS [ARGUMENT...]
#
#   ARCHITECTURE  amd64, arm64 or s390x
#   SERIES        6.1 or 6.12; the newest package of that series is booted
#   PROGRAMS      a cargo folder such as target/x86_64-unknown-linux-gnu/debug, with the test `kernel` and the examples,
#                 linked statically
#   ARGUMENT      for the test program, for example `batches::`
#
# The guest's root is an initramfs made of Debian's packages for that architecture, so the host may be any system with
# apt. qemu emulates the processor: nested virtual machines often lack KVM. Booting takes about ten seconds. GUEST_SECONDS
# bounds the whole run (default 2400), GUEST_CPUS is the number of processors (default 2).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/packages.sh"
[ $# -ge 3 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
architecture=$1 series=$2 programs=$(realpath "$3")
shift 3

emulation=(-accel "tcg,thread=multi" -smp "${GUEST_CPUS:-2}" -m 3072 -nographic -no-reboot)
case $architecture in
    amd64)
        package=qemu-system-x86 image="linux-image-${series//./\\.}\\.[0-9.+deb-]*-cloud-amd64" console=ttyS0
        emulation=(qemu-system-x86_64 -cpu max "${emulation[@]}") ;;
    arm64)
        package=qemu-system-arm image="linux-image-${series//./\\.}\\.[0-9.+deb-]*-cloud-arm64" console=ttyAMA0
        emulation=(qemu-system-aarch64 -M virt -cpu cortex-a57 "${emulation[@]}") ;;
    s390x)
        package=qemu-system-s390x image="linux-image-${series//./\\.}\\.[0-9.+deb-]*-s390x" console=ttysclp0
        emulation=(qemu-system-s390x -M s390-ccw-virtio -cpu max "${emulation[@]}") ;;
    *) echo "guest: expected amd64, arm64 or s390x, found $architecture" >&2; exit 2 ;;
esac
# Debian 12 has qemu for s390x in a package of another name, which apt finds.
command -v "${emulation[0]}" >/dev/null || install_packages "$package"
install_packages cpio kmod debian-archive-keyring

work=$(realpath -m "${CARGO_TARGET_DIR:-$here/../target}")/guests/$architecture
mkdir -p "$work"

# The mirror that this machine takes its own packages from.
own_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n 's,/debian/*$,,p' | head -n 1
}
mirror=${DEBIAN_MIRROR:-$(own_mirror)}

# An apt that knows nothing but Debian 12 for that architecture, and does not touch the host's packages.
apt=$work/apt
mkdir -p "$apt"/{lists/partial,cache/archives/partial}
touch "$apt/status"
for suite in debian/bookworm debian-security/bookworm-security; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "$mirror/${suite%/*} ${suite#*/} main"
done >"$apt/sources.list"
guest_apt() {
    "$@" -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User=root \
        -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o DPkg::Post-Invoke= \
        -o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success= -o Debug::NoLocking=1
}

# The kernel and the packages of the guest are downloaded once. An update of the lists finds newer ones: remove $work.
if [ ! -e "$apt/updated" ]; then
    guest_apt apt-get update -qq
    guest_apt apt-get install -qq -y -d --no-install-recommends \
        nftables iproute2 conntrack strace kmod busybox-static >/dev/null
    touch "$apt/updated"
fi
kernel=$work/kernel-$series
if [ ! -d "$kernel/boot" ]; then
    image=$(guest_apt apt-cache search "^$image\$" | cut -d' ' -f1 | sort -V | tail -1)
    [ -n "$image" ] || { echo "guest: Debian 12 has no kernel $series for $architecture" >&2; exit 1; }
    rm -rf "$work/download" "$kernel.part"
    mkdir "$work/download"
    (cd "$work/download" && guest_apt apt-get download -qq "$image" && dpkg -x ./*.deb "$kernel.part")
    mv "$kernel.part" "$kernel"
fi
release=$(ls "$kernel/lib/modules")

# The root of the guest.
root=$work/root-$series
rm -rf "$root"
mkdir -p "$root"/{proc,sys,dev,tmp,run,etc,ctnetlink/deps,ctnetlink/examples}
for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
rm -rf "${root:?}"/usr/share "${root:?}"/usr/lib/*/{gconv,perl*}
for applet in sh mount cat ls mkdir echo poweroff sleep ps uname dmesg sysctl true mv ln rm grep; do
    [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
tests=$(find "$programs/deps" -maxdepth 1 -name 'kernel-*' -executable -type f -printf '%T@ %p\n' | sort -n | tail -1)
[ -n "$tests" ] || { echo "guest: $programs/deps has no test \`kernel\`" >&2; exit 1; }
cp "${tests#* }" "$root/ctnetlink/deps/kernel"
# Cargo links each example under a second name, which ends in a hash.
find "$programs/examples" -maxdepth 1 -type f -executable | grep -vE -- '-[0-9a-f]{16}$' |
    xargs cp -t "$root/ctnetlink/examples"

modules=lib/modules/$release
mkdir -p "$root/$modules/kernel/drivers"
for part in net lib crypto arch drivers/net; do
    [ ! -d "$kernel/$modules/kernel/$part" ] || cp -r "$kernel/$modules/kernel/$part" "$root/$modules/kernel/$part"
done
cp "$kernel/$modules"/modules.{order,builtin,builtin.modinfo} "$root/$modules/"
PATH=$PATH:/usr/sbin:/sbin depmod -b "$root" "$release"

cat >"$root/init" <<INIT
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
export PATH=/usr/sbin:/sbin:/usr/bin:/bin HOME=/tmp CTNETLINK_KERNEL=required
for module in nf_conntrack nf_conntrack_netlink nf_nat nf_tables nft_ct nft_nat nft_masq nft_redir nft_chain_nat \
    nf_nat_ftp nf_conntrack_ftp nf_conntrack_tftp nf_conntrack_sip nf_conntrack_amanda nf_conntrack_irc \
    nf_conntrack_pptp nf_conntrack_netbios_ns nf_conntrack_snmp nf_synproxy_core nft_synproxy veth sctp; do
    modprobe "\$module" 2>/dev/null || echo "guest: no module \$module"
done
ip link set lo up
ulimit -n 65536
echo "guest: Linux \$(uname -rm)"
/ctnetlink/deps/kernel --color never $*
echo "guest: status \$?"
sleep 1
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$work/initramfs-$series.gz"

# qemu's own status says nothing about the tests: theirs is in the last line.
log=$work/log-$series
timeout "${GUEST_SECONDS:-2400}" "${emulation[@]}" -kernel "$kernel/boot/vmlinuz-$release" \
    -initrd "$work/initramfs-$series.gz" -append "console=$console panic=-1 quiet" </dev/null | sed -u 's/\r$//' | tee "$log" ||
    { echo "guest: not finished in ${GUEST_SECONDS:-2400} seconds" >&2; exit 1; }
grep -q '^guest: status 0' "$log"
