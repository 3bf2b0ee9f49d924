#!/usr/bin/env bash
# The simulator at length, with a release build: the same seeds as in the debug build, whose traces must
# be the same to the byte; then a simulated year in which every kind of fault happens, hours apart.
#
# usage: tests/torture/run.sh [YEARS [SEEDS]]     (1 year and 50 seeds, unless told)
set -euo pipefail
cd "$(dirname "$0")/../.."

years=${1:-1} seeds=${2:-50}
passed=0 failed=0

cargo build --quiet --locked -p quorate-cli
cargo build --quiet --locked --release -p quorate-cli

verdict() { # verdict WHETHER NAME
    if "$1"; then
        passed=$((passed + 1)) && echo "ok $2"
    else
        failed=$((failed + 1)) && echo "FAILED $2"
    fi
}

hash() { # hash BUILD ARGUMENT...: nothing where a seed fails; which one, and why, stands above the verdict
    local summary
    summary=$("target/$1/quorate" torture "${@:2}" --json --trace-hash) || return 0
    sed -nE 's/.*"trace_hash": "([0-9a-f]+)".*/\1/p' <<<"$summary"
}

same() { # same ARGUMENT...: both builds do the same, to the byte
    local debug release
    debug=$(hash debug "$@") release=$(hash release "$@")
    if [ -n "$debug" ] && [ "$debug" = "$release" ]; then
        verdict true "debug and release agree: $*, trace hash $debug"
    else
        verdict false "debug (${debug:-no hash}) and release (${release:-no hash}) do not agree: $*"
    fi
}

# torture NAME ARGUMENT...: nothing is broken. Half of the CI's summary is what was met; only the figures are shown.
torture() {
    local name=$1 summary=target/torture-${1// /-}.json ok=false
    shift
    target/release/quorate torture "$@" --json >"$summary" && ok=true
    grep -E '^  "(violations|failing_seeds|simulated_s|real_s|real_time_factor|events)"' "$summary" || true
    verdict "$ok" "$name: quorate torture $*; the summary is in $summary"
}

same --seeds "0..$seeds"
same --seeds 0..4 --nodes 5 --groups 20
torture "long quiet" --seeds 0..8 --time 12h --pace 1h
torture "years" --seeds "0..$((years * 4))" --nodes 3 --profile slow --time 92days --pace 3h

printf '%d passed, %d failed\n' "$passed" "$failed"
test "$failed" -eq 0
