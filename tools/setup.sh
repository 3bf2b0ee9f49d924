#!/usr/bin/env bash
# Looks for what `make demo`, `make test`, `make deny` or `make bench-placement` needs and installs what is missing.
#
# usage: tools/setup.sh [demo|test|deny|bench-placement]
#
# Debian packages go in through tools/apt-install.sh (as root, or by sudo); cargo's own tools go
# into target/tools, which nothing else uses. Prints one line for each thing it does, and nothing
# when all is there.
#
# exit status: 0 all there, 3 something is missing that cannot be installed from here.
set -euo pipefail
cd "$(dirname "$0")/.."

# The oldest versions that read our files; what is installed here is exactly the second one.
rust_min=1.90
deny_min=0.18.0 deny_version=0.20.2
nextest_min=0.9.100 nextest_version=0.9.143

purpose=${1:-test}
case $purpose in
demo | test | deny | bench-placement) ;;
*) echo "usage: tools/setup.sh [demo|test|deny|bench-placement]" >&2 && exit 2 ;;
esac

say() { echo "setup: $*"; }
cannot() { say "$@" >&2 && exit 3; }
has() { command -v "$1" >/dev/null 2>&1; }
is_at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# Some of these live in sbin, which an ordinary user's PATH leaves out.
PATH=$PWD/target/tools/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
# need REASON PACKAGE COMMAND...: the package is missing unless the command succeeds.
need() {
    local reason=$1 package=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing+=("$package")
        say "$package is missing: $reason"
    fi
}

bench_packages() {
    need "compiles and links" gcc has gcc
    need "the scheduler beside which placement is measured" pacemaker-cli-utils has crm_simulate
    need "tells what a process has used" time test -x /usr/bin/time
}

debian_packages() {
    need "compiles and links" gcc has gcc
    need "the C library's headers" libc6-dev test -e /usr/include/stdlib.h
    need "assembles the demo's guest" binutils has as
    need "finds libiscsi" pkg-config has pkg-config
    need "our iSCSI sessions" libiscsi-dev pkg-config --exists libiscsi
    need "runs the demo's guest" qemu-system-x86 has qemu-system-x86_64
    need "the demo's iSCSI target, in user space" tgt has tgtd
    need "the demo's networks" iproute2 has ip
    need "cuts the demo's networks" nftables has nft
    need "runs scripts" python3 has python3
    [ "$purpose" = test ] || return 0
    need "compiles the header as C++" g++ has g++
    need "joins paths in the kernel tests" dmsetup has dmsetup
    need "a disk for each host of the kernel tests" e2fsprogs has mke2fs
    need "NBD clients and servers to test against" qemu-utils has qemu-nbd
    need "a fresh environment for the Python tests" python3-venv \
        python3 -c 'import ensurepip, venv'
}

install_debian_packages() {
    [ ${#missing[@]} -gt 0 ] || return 0
    has apt-get || cannot "no apt-get here: install the equivalents of: ${missing[*]}"
    local command=(tools/apt-install.sh "${missing[@]}")
    if [ "$(id -u)" = 0 ]; then
        "${command[@]}"
    elif has sudo && { sudo -n true || : </dev/tty; } 2>/dev/null; then
        sudo "${command[@]}"
    else
        cannot "not root, and no sudo: run as root: ${command[*]}"
    fi
}

# Rust is the one thing we never install: whose toolchain it is, and where, is the user's choice.
check_rust() {
    local remedy="install it with https://rustup.rs: rustup toolchain install stable"
    has cargo || cannot "cargo is missing: $remedy"
    local have
    have=$(cargo --version | cut -d ' ' -f 2)
    is_at_least "$have" "$rust_min" || cannot "cargo $have is older than $rust_min: $remedy"
    [ "$purpose" = test ] || return 0
    local component
    for component in rustfmt clippy; do
        cargo "${component#rust}" --version >/dev/null 2>&1 ||
            cannot "$component is missing: rustup component add $component"
    done
}

# cargo_tool NAME OLDEST VERSION: unoptimised, because building it takes longer than running it.
cargo_tool() {
    local name=$1 oldest=$2 version=$3 have
    have=$("$name" "${name#cargo-}" --version 2>/dev/null | head -n 1 | cut -d ' ' -f 2) || have=
    if [ -n "$have" ] && is_at_least "$have" "$oldest"; then
        return 0
    fi
    say "$name ${have:-is missing}: building $version into target/tools, about a minute"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=target/tools/build \
        cargo install --quiet --locked --debug --root target/tools "$name@$version"
    rm -rf target/tools/build
}

check_rust
case $purpose in
demo | test) debian_packages ;;
bench-placement) bench_packages ;;
esac
install_debian_packages
case $purpose in
test) cargo_tool cargo-nextest "$nextest_min" "$nextest_version" ;;
deny) cargo_tool cargo-deny "$deny_min" "$deny_version" ;;
esac
