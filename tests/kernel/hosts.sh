#!/usr/bin/env bash
# Three guests of QEMU as three hosts of a cluster, with one LUN of tgt that each reaches by its kernel's own initiator.
# One is killed as by a loss of power; one is frozen as a whole, and goes on after another has taken over.
#
# usage: tests/kernel/hosts.sh DIR      (of the image, which tests/kernel/run.sh makes)
#
# What is judged comes from outside the guests: their consoles, and the bytes behind the target.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

images=$1 work=$(mktemp -d) target=iqn.2026-01.org.quorate:hosts
declare -A host
cleanup() {
    kill -9 "${host[@]}" "${tgtd:-}" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "hosts: FAILED: $*"
    for node in 1 2 3; do
        cp "$work/n$node" "$images/n$node.console"
        echo "-- n$node" && grep -avE '^[0-9]+ n[123] ' "$work/n$node" | tail -n 25
    done
    exit 1
} >&2
# wait_for WHAT COMMAND...: until the command succeeds, at most 120 s.
wait_for() {
    local what=$1 end=$((SECONDS + 120))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "never: $what"
        sleep 0.02
    done
}
now() { date +%s.%N; }
since() { awk "BEGIN { printf \"%.2f\", $(now) - $1 }"; }

# A port that is free now, for the target; the hosts' network is a multicast group of its own.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export TGT_IPC_SOCKET=$work/tgt.sock
tgtd -f -C 1 -t 2 --iscsi "portal=127.0.0.1:$port" >"$work/tgtd" 2>&1 &
tgtd=$! && disown "$!"
admin() { tgtadm -C 1 --lld iscsi "$@" 2>/dev/null; }
truncate -s 8M "$work/lun"
wait_for "the target" admin --op new --mode target --tid 1 --targetname "$target"
admin --op new --mode logicalunit --tid 1 --lun 1 --backing-store "$work/lun"
admin --op bind --mode target --tid 1 --initiator-address ALL

boot() { # boot NUMBER: a host is switched on
    qemu-system-x86_64 -accel tcg -m 192 -nographic -no-reboot -nodefaults -serial "file:$work/n$1" \
        -kernel "$images/vmlinuz" -initrd "$images/initramfs" \
        -append "console=ttyS0 quiet panic=-1 node=$1 target=$target portal=$port" \
        -drive "file=$work/disk$1,if=virtio,format=raw" \
        -netdev user,id=below -device "virtio-net-pci,netdev=below,romfile=" \
        -netdev "socket,id=beside,mcast=230.0.0.77:$port,localaddr=127.0.0.1" \
        -device "virtio-net-pci,netdev=beside,mac=52:54:00:12:34:0$1,romfile=" </dev/null >/dev/null 2>&1 &
    host[$1]=$!
    disown "$!"
}
# The lines of what counts: number, node, time of its host.
taken() { grep -aE '^[0-9]+ n[123] ' "$work/n$1" 2>/dev/null | tr -d '\r' || true; }
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

for node in 1 2 3; do
    truncate -s 32M "$work/disk$node" && mke2fs -q -F -t ext4 "$work/disk$node"
    boot "$node"
done
for node in 1 2 3; do wait_for "n$node is up" grep -aq "host: n$node is up" "$work/n$node"; done
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
cat "$work"/n[123]* | grep -aE '^[0-9]+ n[123] ' | tr -d '\r' | cut -d ' ' -f 1,2 | sort -n >"$work/said"
last=$(tail -n 1 "$work/said" | cut -d ' ' -f 1)
doubled=$(cut -d ' ' -f 1 "$work/said" | uniq -d | wc -l)
dd if="$work/lun" bs=512 skip=1 count="$last" 2>/dev/null | tr -d '\0' |
    grep -aoE '^record [0-9]+ n[0-9]' | cut -d ' ' -f 2,3 >"$work/found"
lost=$(grep -cvxFf "$work/found" "$work/said" || true)
echo "story: $last records, $(wc -l <"$work/said") taken, $lost lost, $doubled doubled, $late of a host that was frozen"
[ "$lost" = 0 ] && [ "$doubled" = 0 ] && [ "$late" = 0 ] || fail "the LUN does not hold what was taken"
echo "story: told whole"
