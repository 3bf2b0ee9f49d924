#!/usr/bin/env bash
# Runs steps of the Makefile one after the other, with the seconds that each took, and stops at the
# first that fails. The last line sums up what the test runners counted.
#
# usage: tools/test.sh STEP...
set -euo pipefail
cd "$(dirname "$0")/.."

logs=target/test-logs
rm -rf "$logs" && mkdir -p "$logs"

# The summaries of nextest, of libtest, of pytest and of our own scripts ("3 passed, 0 failed").
count() { # count passed|failed
    sed 's/\x1b\[[0-9;]*m//g' "$logs"/*.log | awk -v word="$1" '
        /^ *Summary \[|^test result: |^=+ .* in [0-9.]+s|^[0-9]+ (passed|failed)/ {
            for (i = 2; i <= NF; i++) if ($i ~ "^" word "[,;]?$") sum += $(i - 1)
        }
        END { print sum + 0 }'
}

for step in "$@"; do
    printf '\n==== %s\n' "$step"
    start=$SECONDS
    if ! ${MAKE:-make} --no-print-directory "$step" </dev/null 2>&1 | tee "$logs/$step.log"; then
        failed=$(count failed)
        printf '\n==== %s FAILED after %d s; `make %s` runs it alone\n' \
            "$step" $((SECONDS - start)) "$step"
        # A step that counts nothing, such as the format, is one failure too.
        printf '%d passed, %d failed\n' "$(count passed)" $((failed > 0 ? failed : 1))
        exit 1
    fi
    printf '==== %s: %d s\n' "$step" $((SECONDS - start))
done
printf '\n==== all of it: %d s\n' "$SECONDS"
printf '%d passed, %d failed\n' "$(count passed)" "$(count failed)"
