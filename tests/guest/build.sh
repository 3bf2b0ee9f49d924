#!/bin/sh
# Assembles the test guest's firmware: build.sh OUT (default target/guest/guest.rom).
# Needs as and ld (binutils), which every machine that links Rust programs has.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../target/guest/guest.rom}
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$(dirname "$out")/guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
as --32 -o "$work/guest.o" "$here/guest.s"
ld -m elf_i386 --oformat binary -e 0 -Ttext 0 -o "$work/guest.rom" "$work/guest.o"
size=$(wc -c <"$work/guest.rom")
if [ "$size" -ne 65536 ]; then
    echo "build.sh: the firmware has $size bytes, it must have 65536" >&2
    exit 1
fi
mv "$work/guest.rom" "$out" # at once, so that builds side by side do no harm
