#!/usr/bin/env bash
# Puts the library, the header and the pkg-config file where C programs find them.
#
# usage: bindings/c/install.sh PREFIX [debug|release]
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2 && exit 2; }
prefix=$1 profile=${2:-release}

# Programs remember the library under this name, which changes when they could not use it any more.
soname=libquorate.so.0
case $profile in
release) flags=(--release) ;;
debug) flags=() ;;
*) echo "$profile is neither debug nor release" >&2 && exit 2 ;;
esac
cargo rustc --quiet --locked -p quorate-c --lib "${flags[@]}" -- -C "link-arg=-Wl,-soname,$soname"

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
prefix=$(cd "$prefix" && pwd)
built=${CARGO_TARGET_DIR:-target}/$profile
install -m 644 include/quorate.h "$prefix/include/quorate.h"
install -m 755 "$built/libquorate_c.so" "$prefix/lib/$soname"
ln -sf "$soname" "$prefix/lib/libquorate.so"
install -m 644 "$built/libquorate_c.a" "$prefix/lib/libquorate.a"

version=$(sed -n 's/^#define QUORATE_VERSION "\(.*\)"/\1/p' include/quorate.h)
# What the build asked too: without libiscsi the driver is left out, and nothing of it is linked.
requires=$(pkg-config --exists 'libiscsi >= 1.18' && echo libiscsi || true)
sed "s|@prefix@|$prefix|; s|@version@|$version|; s|@requires@|$requires|" \
    bindings/c/quorate.pc.in >"$prefix/lib/pkgconfig/quorate.pc"

if ! ldconfig -p 2>/dev/null | grep -q "$prefix/lib/$soname"; then
    echo "installed in $prefix/lib; so that programs find it there when they start: run ldconfig if that directory is" \
        "in its list, else link them with -Wl,-rpath,$prefix/lib"
fi
