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

mkdir -p "$images"
# The program of these tests, as cargo calls it. Of all crates, here and below: what `make unit` has compiled is not
# compiled again.
cargo test --locked --quiet --no-run --test lun
program=$(cargo test --locked --no-run --message-format json --test lun 2>/dev/null |
    sed -n 's/.*"target":{[^}]*"name":"lun".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || { echo "kernel: cargo names no program for the tests" >&2 && exit 1; }
cp "$program" "$images/lun"
cargo build --locked --quiet -p quorate-cli
strip -o "$images/quorate" target/debug/quorate
PACKAGES="lvm2 libdevmapper-event1.02.1 libaio1" tests/kernel/image.sh "$images/loop" tests/kernel/init.loop \
    "$images/lun" "$images/quorate" "$(command -v dmsetup)" "$images/debian/sbin/lvm" \
    tests/kernel/counter.sh tests/kernel/story.failover tests/kernel/story.watchdog
tests/kernel/image.sh "$images/target" tests/kernel/init.target

# boot NAME COMMAND: runs a command in a guest; `,` stands for a blank. The console is left in NAME.console.
boot() {
    local console=$images/$1.console
    timeout "$limit" qemu-system-x86_64 -accel tcg -m 512 -smp 2 -nographic -no-reboot -nodefaults \
        -serial "file:$console" -kernel "$images/loop/vmlinuz" -initrd "$images/loop/initramfs" \
        -append "console=ttyS0 quiet panic=-1 run=$2 ${QUORATE_WRITES:+QUORATE_WRITES=$QUORATE_WRITES}" </dev/null || {
        tail -n 40 "$console" >&2
        echo "kernel: the guest did not end within $limit s" >&2
        exit 1
    }
    tr -d '\r' <"$console" | grep -aE '^(test|story|storage|running|stale)|panicked|FAILED' || true
}
ended_well() { grep -aq 'guest: ended with 0' "$images/$1.console"; }

boot tests "lun,--ignored,--test-threads,1,--nocapture,device::${1:-}"
ended_well tests
boot failover story.failover
ended_well failover
# Here the guest is to be reset from within, which ends it: before lease and stop time are over, by its own clock.
boot watchdog story.watchdog
tr -d '\r' <"$images/watchdog.console" | awk '
    /story: frozen at/ { frozen = $NF }
    /story: still up at/ { last = $NF }
    /guest: ended/ { ended = 1 }
    END {
        if (!frozen || ended) { print "kernel: the watchdog did not reset the guest"; exit 1 }
        printf "story: reset within %.2f s of the freeze; lease and stop time are 2.00 s\n", last - frozen + 0.1
        exit last - frozen > 2
    }'

# Guests as hosts, with what they need to reach a LUN outside of them.
rm -rf "$images/key"
target/debug/quorate init --dir "$images/key" >/dev/null
PACKAGES="open-iscsi libopeniscsiusr" tests/kernel/image.sh "$images/hosts" tests/kernel/init.host "$images/quorate" \
    "$images/debian/sbin/iscsistart" tests/kernel/counter.sh tests/kernel/hosts.toml "$images/key/cluster.key"
tests/kernel/hosts.sh "$images/hosts"
# And with a disk for poison pills beside them.
tests/kernel/image.sh "$images/pills" tests/kernel/init.pills "$images/quorate" tests/kernel/pills.toml \
    "$images/key/cluster.key"
tests/kernel/pills.sh "$images/pills"

# LIO over iSCSI, in a guest of its own; and what docs/STORAGE.md says of the others.
export QUORATE_KERNEL_DIR=$images

# tests LOG NEXTEST-ARGUMENTS: runs them; what they print is left in LOG.log, and shown where one fails.
tests() {
    local log=$images/$1.log
    shift
    cargo nextest run --locked --profile kernel --no-output-indent "$@" 2>&1 | tee "$log" |
        grep -aE '^storage|PASS|FAIL|Summary|times:' || {
        grep -a -A 8 panicked "$log" >&2 || tail -n 40 "$log" >&2
        exit 1
    }
}
tests lio --run-ignored only --test lun lio::
tests luns --run-ignored only --test luns
# These measure times: one after the other.
tests others --test-threads 1 --test lun -- \
    doctor:: disk::a_disk_without_reservations \
    iscsi::an_examination iscsi::a_path_that_comes_back iscsi::a_target_that_dies \
    iscsi::no_write_of_the_victim
tests stale --test luns -- stale_write_lands_on_tgt
tests/kernel/table.py "$images"/{tests.console,lio.log,luns.log,others.log,stale.log}
