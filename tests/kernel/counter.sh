#!/bin/sh
# What runs on the LUN in the stories: counts on it, one block a record, and notes each record once the LUN has taken
# it. The first block says how far it is, so that the next owner goes on there.
disk=$QUORATE_LUN_DISK1
put() { printf '%-511s\n' "$2" | dd of="$disk" bs=512 seek="$1" oflag=direct conv=notrunc 2>/dev/null; }
count=$(dd if="$disk" bs=512 count=1 iflag=direct 2>/dev/null | sed -n 's/^last \([0-9]*\) *$/\1/p')
count=${count:-0}
while :; do
    count=$((count + 1))
    put "$count" "record $count $QUORATE_NODE $QUORATE_EPOCH" || exit 1
    put 0 "last $count" || exit 1
    echo "$count $QUORATE_NODE $(cut -d ' ' -f 1 /proc/uptime)" >>/c/taken
    usleep 50000
done
