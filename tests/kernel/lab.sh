# Three guests of QEMU as three hosts of a cluster, n1 to n3: what the stories about them share. Each story sources this
# file, in the root of the tree, with these set:
#
#   story     its name, which stands before what it says of a failure
#   images    the directory with vmlinuz and initramfs
#   counted   what the lines of a console begin with in which a host counts, as an extended regular expression
#   network   the multicast group that is the hosts' network
#
# It gives `work`, a directory that goes when the story ends, where n1 to n3 are the consoles; `port`, which was free;
# `host`, the hosts' processes by number, which end with the story, as do those that a story adds to `servers`.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

work=$(mktemp -d)
declare -A host
servers=()
cleanup() {
    kill -9 "${host[@]}" "${servers[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "$story: FAILED: $*"
    for node in 1 2 3; do
        cp "$work/n$node" "$images/n$node.console"
        echo "-- n$node" && grep -avE "$counted" "$work/n$node" | tail -n 25
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
says() { grep -asq "$2" "$work/n$1"; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# switch_on NUMBER WORDS QEMU-ARGUMENTS...: a host is switched on, with words for its kernel's command line. Its first
# disk, with a file system, is its own for ever; its last network card is the one to the other hosts.
switch_on() {
    local number=$1 words=$2 disk=$work/disk$1
    shift 2
    [ -e "$disk" ] || { truncate -s 32M "$disk" && mke2fs -q -F -t ext4 "$disk"; }
    qemu-system-x86_64 -accel tcg -m 256 -nographic -no-reboot -nodefaults -serial "file:$work/n$number" \
        -kernel "$images/vmlinuz" -initrd "$images/initramfs" \
        -append "console=ttyS0 quiet panic=-1 node=$number $words" \
        -drive "file=$disk,if=none,id=own,format=raw" -device virtio-blk-pci,drive=own "$@" \
        -netdev "socket,id=beside,mcast=$network:$port,localaddr=127.0.0.1" \
        -device "virtio-net-pci,netdev=beside,mac=52:54:00:12:34:0$number,romfile=" </dev/null >/dev/null 2>&1 &
    host[$number]=$!
    disown "$!"
}
wait_until_all_are_up() {
    local node
    for node in 1 2 3; do wait_for "n$node is up" says "$node" "host: n$node is up"; done
}
