#!/usr/bin/env bash
# Tests that need a kernel with SCSI: boots Debian's under QEMU, as its own SCSI target, with the tests inside.
#
# usage: tests/kernel/run.sh [FILTER]      (of the tests' names)
#
# QUORATE_WRITES=100000 makes the streams of stale writes that long; they are shorter by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

limit=300
images=$PWD/target/kernel

# The program of these tests, as cargo calls it.
cargo test --locked --quiet --no-run -p quorate-storage --test lun
program=$(cargo test --locked --no-run --message-format json -p quorate-storage --test lun 2>/dev/null |
    sed -n 's/.*"target":{[^}]*"name":"lun".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || { echo "kernel: cargo names no program for the tests" >&2 && exit 1; }
cp "$program" "$images/lun"

tests/kernel/image.sh "$images/loop" tests/kernel/init.loop "$images/lun" "$(command -v dmsetup)"
console=$images/loop/console
command="lun,--ignored,--test-threads,1,--nocapture,device::${1:-}"
timeout "$limit" qemu-system-x86_64 -accel tcg -m 384 -smp 2 -nographic -no-reboot -nodefaults \
    -serial "file:$console" -kernel "$images/loop/vmlinuz" -initrd "$images/loop/initramfs" \
    -append "console=ttyS0 quiet panic=-1 run=$command ${QUORATE_WRITES:+QUORATE_WRITES=$QUORATE_WRITES}" </dev/null || {
    tail -n 40 "$console" >&2
    echo "kernel: the guest did not end within $limit s" >&2
    exit 1
}
tr -d '\r' <"$console" | sed -n '/^running/,$p' | grep -v 'reboot: Power down'
grep -q 'guest: ended with 0' "$console"
