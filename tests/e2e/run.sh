#!/usr/bin/env bash
# The stories on real parts. Builds the command twice: as users get it, and once with the switch
# that the negative control needs; then plays one story after the other.
#
# usage: tests/e2e/run.sh [FILTER...]      (filters of cargo nextest)
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

programs=$PWD/target/e2e
mkdir -p "$programs"
cargo build --quiet --locked -p quorate-cli --features test-switches
cp target/debug/quorate "$programs/quorate-switched"
cargo build --quiet --locked -p quorate-cli
cp target/debug/quorate "$programs/quorate"

export QUORATE_PROGRAM=$programs/quorate QUORATE_SWITCHED_PROGRAM=$programs/quorate-switched
# Of all crates, of which the profile takes these: what `make unit` has compiled is not compiled again.
cargo nextest run --locked --profile e2e "$@"
