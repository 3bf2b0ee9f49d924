#!/usr/bin/env bash
# Puts together what a small Linux guest boots from: Debian's cloud kernel, and a file system in memory with the
# modules that it needs, busybox, and the given programs with the libraries that they want.
#
# usage: tests/kernel/image.sh DIR INIT [PROGRAM...]
#
# Writes DIR/vmlinuz and DIR/initramfs. The Debian packages are fetched once, into target/kernel, and installed
# nowhere; so are those that PACKAGES names, and what they hold may be given as PROGRAM, from target/kernel/debian.
# INIT is a script for busybox's sh, which runs as the first process; PROGRAMs come to stand in /bin.
#
# exit status: 0 written, 3 a package cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

out=$1 init=$2
shift 2
store=$PWD/target/kernel
mkdir -p "$store" "$out"

say() { echo "kernel: $*"; }

# The modules by name; what they need comes along.
modules=(
    tcm_loop target_core_file iscsi_target_mod
    sd_mod virtio_pci virtio_net virtio_blk virtio_scsi virtio_console iscsi_tcp
    dm-multipath dm-round-robin dm-snapshot softdog crc32c_generic crc32c-intel sha256_generic af_packet
)

# Lists that are missing, or name what is there no more, are fetched anew, once.
refreshed=false
refresh() {
    if $refreshed || [ "$(id -u)" != 0 ]; then return 1; fi
    refreshed=true
    say "apt-get update, to see whether newer lists help"
    apt-get update >/dev/null 2>&1
}
# The package of the newest kernel, by the one that always depends on it.
kernel() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

# fetch PACKAGE: unpacks it into the store, once.
fetch() {
    local package=$1 scratch
    [ ! -e "$store/$package.done" ] || return 0
    say "fetching Debian's package $package"
    scratch=$(mktemp -d "$store/fetch.XXXXXX")
    # Without root apt cannot hand the file to its own user and says so at length.
    if ! (cd "$scratch" && apt-get download "$package") >"$scratch/log" 2>&1 &&
        ! { refresh && (cd "$scratch" && apt-get download "$package") >"$scratch/log" 2>&1; }; then
        cat "$scratch/log" >&2
        say "$package cannot be fetched; apt-get update may help" >&2
        rm -rf "$scratch"
        exit 3
    fi
    dpkg -x "$scratch"/*.deb "$store/debian"
    rm -rf "$scratch"
    touch "$store/$package.done"
}

kernel_package=$(kernel)
if [ -z "$kernel_package" ] && refresh; then kernel_package=$(kernel); fi
[ -n "$kernel_package" ] || { say "apt knows no linux-image-cloud-amd64" >&2 && exit 3; }
# One build at a time: tests may run side by side.
exec 9>"$store/lock"
flock 9
fetch "$kernel_package"
for package in busybox-static ${PACKAGES:-}; do fetch "$package"; done
release=${kernel_package#linux-image-}
busybox=$store/debian/bin/busybox
[ -e "$store/debian/lib/modules/$release/modules.dep" ] || "$busybox" depmod -b "$store/debian" "$release"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{bin,dev,etc,proc,run,sys,tmp,lib64,lib/modules/"$release"}
cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$tree/bin/$applet"
done

# module NAME: copies it and all that it depends on.
dependencies=$store/debian/lib/modules/$release/modules.dep
module() {
    local name=$1 line path
    line=$(grep -E "(^|/)${name//[-_]/[-_]}\.ko:" "$dependencies" | head -n 1) || return 0
    for path in ${line/:/ }; do
        path=${path#/lib/modules/"$release"/}
        install -D -m 644 "$store/debian/lib/modules/$release/$path" "$tree/lib/modules/$release/$path"
    done
}
for name in "${modules[@]}"; do module "$name"; done
"$busybox" depmod -b "$tree" "$release"

ours=$store/debian/lib/x86_64-linux-gnu:$store/debian/usr/lib/x86_64-linux-gnu
# program FILE: copies it and the libraries that the linker finds for it; a script has none.
program() {
    local library
    install -m 755 "$1" "$tree/bin/$(basename "$1")"
    for library in $(LD_LIBRARY_PATH=$ours ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' || true); do
        [ -e "$tree${library#"$store/debian"}" ] ||
            install -D -m 755 "$library" "$tree${library#"$store/debian"}"
    done
}
for file in "$@"; do program "$file"; done
install -m 755 "$init" "$tree/init"

# Not compressed: to unpack it takes an emulated processor a second and more at each boot.
(cd "$tree" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$out/initramfs.new"
mv "$out/initramfs.new" "$out/initramfs"
cp "$store/debian/boot/vmlinuz-$release" "$out/vmlinuz"
