#!/usr/bin/env bash
# The simulator at length, with a release build: seeds side by side with the debug build, whose
# traces must be the same to the byte; then long runs in which faults are far apart.
#
# usage: tests/torture/run.sh [SEEDS]      (how many long runs, of half a simulated day each)
set -euo pipefail
cd "$(dirname "$0")/../.."

seeds=${1:-24}
failed=0

cargo build --quiet --locked -p quorate-cli
cargo build --quiet --locked --release -p quorate-cli

hash() { # hash BUILD ARGUMENT...
    "target/$1/quorate" torture "${@:2}" --json --trace-hash 2>/dev/null |
        sed -nE 's/.*"trace_hash": "([0-9a-f]+)".*/\1/p'
}

same() { # same ARGUMENT...: both builds do the same, to the byte
    local debug release
    debug=$(hash debug "$@") release=$(hash release "$@")
    if [ -n "$debug" ] && [ "$debug" = "$release" ]; then
        printf 'debug and release agree: %s, trace hash %s\n' "$*" "$debug"
    else
        printf 'debug %s and release %s differ: %s\n' "${debug:-nothing}" "${release:-nothing}" "$*"
        failed=$((failed + 1))
    fi
}

same --seeds 0..50
same --seeds 0..4 --nodes 5 --groups 20

# Faults an hour apart on the average: long quiet, as in life.
target/release/quorate torture --seeds "0..$seeds" --time 12h --pace 1h || failed=$((failed + 1))

printf '%d passed, %d failed\n' $((3 - failed)) "$failed"
test "$failed" -eq 0
