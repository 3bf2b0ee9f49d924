#!/usr/bin/env bash
# Three guests of QEMU as three hosts of a cluster, which share a disk for poison pills. One is frozen as a process, and
# reads none; one is cut off the network, and takes one. Each is reset by its own watchdog before another runs what it
# ran.
#
# usage: tests/kernel/pills.sh DIR      (of the image, which tests/kernel/run.sh makes)
set -euo pipefail
cd "$(dirname "$0")/../.."

story=pills images=$1 counted='^tick' network=230.0.0.78
. tests/kernel/lab.sh

truncate -s 2M "$work/pills"
boot() { # boot NUMBER: with the disk that all share, and a line for orders
    switch_on "$1" no_timer_check -serial "pipe:$work/orders$1" \
        -drive "file=$work/pills,if=none,id=pills,format=raw,file.locking=off" \
        -device virtio-blk-pci,drive=pills,share-rw=on
}
order() { echo "$2" >"$work/orders$1.in"; }
ticks() { grep -acE "$counted" "$work/n$1" || true; }
ticks_more() { (($(ticks "$1") > $2)); }
has_ended() { ! kill -0 "${host[$1]}" 2>/dev/null; }
owner() { # who counts at present
    local node before
    for node in 1 2 3; do
        [ -e "$work/n$node" ] && ! has_ended "$node" || continue
        before=$(ticks "$node")
        sleep 0.4
        ! ticks_more "$node" "$before" || { echo "$node" && return; }
    done
    return 1
}
another_counts() { # another_counts NUMBER: sets owner
    owner=$(owner) && [ "$owner" != "$1" ]
}

for node in 1 2 3; do
    mkfifo "$work/orders$node.in" "$work/orders$node.out"
    boot "$node"
done
wait_until_all_are_up
wait_for "it counts" another_counts 0
first=$owner
wait_for "n$first counts" ticks_more "$first" 20
others() { # others NUMBER: how often all but that one have counted
    cat "$work"/n[123] | tr -d '\r' | grep -ac "^tick n[^$1]" || true
}
# lose NUMBER ORDER HOW: its host is reset, and only then another one counts.
lose() {
    local at reset before
    before=$(others "$1") at=$(now)
    order "$1" "$2"
    wait_for "the watchdog resets n$1" has_ended "$1"
    reset=$(since "$at")
    [ "$(others "$1")" = "$before" ] || fail "another host counts, and that of n$1 is reset only then"
    wait_for "another host counts" another_counts "$1"
    echo "story: n$1 $3: its host is reset after $reset s; n$owner goes on after $(since "$at") s"
}
lose "$first" 'kill -STOP $(pidof quorate)' "is frozen"
grep -aqh "n$first is proven harmless: its fence agents have ended it" "$work"/n[123] ||
    fail "nobody says that the pill has ended n$first"

second=$owner
mv "$work/n$first" "$work/n$first.before"
boot "$first"
wait_for "n$first is up again" says "$first" "host: n$first is up"
wait_for "n$first takes part again" grep -asqE "n$first takes part" "$work/n$first"
wait_for "n$second counts" ticks_more "$second" $(($(ticks "$second") + 20))
lose "$second" 'ip link set eth0 down' "is cut off"
says "$second" "it has taken a poison pill" || fail "n$second has taken no pill"
! says "$second" "was not reset" || fail "n$second was not reset"
echo "story: the pills have ended whom they were given to"
