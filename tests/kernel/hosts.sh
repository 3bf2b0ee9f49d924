#!/usr/bin/env bash
# Three guests of QEMU as three hosts of a cluster, with one LUN of tgt that each reaches by its kernel's own initiator.
# One is killed as by a loss of power; one is frozen as a whole, and goes on after another has taken over.
#
# usage: tests/kernel/hosts.sh DIR      (of the image, which tests/kernel/run.sh makes)
#
# What is judged comes from outside the guests: their consoles, and the bytes behind the target.
set -euo pipefail
cd "$(dirname "$0")/../.."

story=hosts images=$1 counted='^[0-9]+ n[123] ' network=230.0.0.77 target=iqn.2026-01.org.quorate:hosts
. tests/kernel/lab.sh

export TGT_IPC_SOCKET=$work/tgt.sock
tgtd -f -C 1 -t 2 --iscsi "portal=127.0.0.1:$port" >"$work/tgtd" 2>&1 &
servers+=("$!") && disown "$!"
admin() { tgtadm -C 1 --lld iscsi "$@" 2>/dev/null; }
truncate -s 8M "$work/lun"
wait_for "the target" admin --op new --mode target --tid 1 --targetname "$target"
admin --op new --mode logicalunit --tid 1 --lun 1 --backing-store "$work/lun"
admin --op bind --mode target --tid 1 --initiator-address ALL

boot() { # boot NUMBER: with the way to the target
    switch_on "$1" "target=$target portal=$port" \
        -netdev user,id=below -device "virtio-net-pci,netdev=below,romfile="
}
# The lines of what counts: number, node, time of its host.
taken() { grep -aE "$counted" "$work/n$1" 2>/dev/null | tr -d '\r' || true; }
lines() { taken "$1" | wc -l; }
has_grown() { (($(lines "$1") > $2)); }
owner() {
    local node
    for node in 1 2 3; do taken "$node" | tail -n 1; done | sort -n | tail -n 1 | sed -E 's/.* n([123]) .*/\1/'
}
is_elsewhere() { # is_elsewhere NUMBER RECORD: a record after that one was taken on another host
    local last
    last=$(for node in 1 2 3; do [ "$node" = "$1" ] || taken "$node" | tail -n 1; done | sort -n | tail -n 1)
    ((${last%% *} > $2))
} 2>/dev/null
# told NODE BY: how often that node was told to take part, and whether it was once more than so often.
told() { grep -acE "^[0-9:.]+ n$1 takes part" "$work/n$2" || true; }
told_again() { (($(told "$1" "$2") > $3)); }

for node in 1 2 3; do boot "$node"; done
wait_until_all_are_up
counts() { owner=$(owner) && [ -n "$owner" ] && has_grown "$owner" 10; }
wait_for "it counts" counts

first=$(owner) record=$(taken "$first" | tail -n 1 | cut -d ' ' -f 1) at=$(now)
kill -9 "${host[$first]}"
wait_for "another host counts after n$first lost its power" is_elsewhere "$first" "$record"
echo "story: n$first lost its power at record $record; n$(owner) goes on after $(since "$at") s"
mv "$work/n$first" "$work/n$first.before"
second=$(owner) times=$(told "$first" "$second")
boot "$first"
wait_for "n$first takes part again" told_again "$first" "$second" "$times"
wait_for "n$second counts" has_grown "$second" $(($(lines "$second") + 10))

record=$(taken "$second" | tail -n 1 | cut -d ' ' -f 1) at=$(now)
kill -STOP "${host[$second]}"
wait_for "another host counts after n$second froze" is_elsewhere "$second" "$record"
third=$(owner)
echo "story: n$second froze at record $record; n$third goes on after $(since "$at") s"
wait_for "n$third counts" has_grown "$third" $(($(lines "$third") + 20))
before=$(lines "$second") times=$(told "$second" "$third")
kill -CONT "${host[$second]}"
wait_for "n$second takes part again" told_again "$second" "$third" "$times"
wait_for "n$third counts on" has_grown "$third" $(($(lines "$third") + 20))
late=$(($(lines "$second") - before))

# What was taken is on the LUN, each record once, and under the name of who took it.
cat "$work"/n[123]* | grep -aE "$counted" | tr -d '\r' | cut -d ' ' -f 1,2 | sort -n >"$work/said"
last=$(tail -n 1 "$work/said" | cut -d ' ' -f 1)
doubled=$(cut -d ' ' -f 1 "$work/said" | uniq -d | wc -l)
dd if="$work/lun" bs=512 skip=1 count="$last" 2>/dev/null | tr -d '\0' |
    grep -aoE '^record [0-9]+ n[0-9]' | cut -d ' ' -f 2,3 >"$work/found"
lost=$(grep -cvxFf "$work/found" "$work/said" || true)
echo "story: $last records, $(wc -l <"$work/said") taken, $lost lost, $doubled doubled, $late of a host that was frozen"
[ "$lost" = 0 ] && [ "$doubled" = 0 ] && [ "$late" = 0 ] || fail "the LUN does not hold what was taken"
echo "story: told whole"
