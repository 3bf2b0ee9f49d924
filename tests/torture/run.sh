#!/usr/bin/env bash
# The simulator at length, with a release build: the same seeds as in the debug build, whose traces must
# be the same to the byte; then a simulated year in which every kind of fault happens, hours apart.
# The release build has the bugs of `make planted` in it, and none is sown: so what that has compiled is not compiled
# again, and the debug build, which has none, shows that they change nothing.
#
# usage: tests/torture/run.sh [YEARS [SEEDS]]     (1 year and 1,000 seeds, unless told)
set -euo pipefail
cd "$(dirname "$0")/../.."

years=${1:-1} seeds=${2:-1000}
passed=0 failed=0

cargo build --quiet --locked -p quorate-sim -p quorate-one-build --example long
cargo build --quiet --locked --release -p quorate-sim --features plants --example long

verdict() { # verdict WHETHER NAME
    if "$1"; then
        passed=$((passed + 1)) && echo "ok $2"
    else
        failed=$((failed + 1)) && echo "FAILED $2"
    fi
}

same() { # same NAME SEEDS: both builds do the same, to the byte, and nothing is broken
    local debug release
    debug=$(target/debug/examples/long "$@") || true
    release=$(target/release/examples/long "$@") || true
    if [[ $debug =~ ^[0-9a-f]{16}$ && $debug = "$release" ]]; then
        verdict true "debug and release agree: $*, trace hash $debug"
    else
        verdict false "debug and release, $*: $debug / $release"
    fi
}

clean() { # clean NAME SEEDS: nothing is broken; which seed is, and how, stands above the verdict
    if target/release/examples/long "$@"; then verdict true "$*"; else verdict false "$*"; fi
}

same drawn "$seeds"
same five 4
same members 200
same configured 40
clean configured "$((seeds / 2))"
clean quiet 4
clean years $((years * 4))

printf '%d passed, %d failed\n' "$passed" "$failed"
test "$failed" -eq 0
