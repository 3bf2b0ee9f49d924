#!/usr/bin/env bash
# The C interface as a user meets it: installed, found by pkg-config, compiled as C11 and as C++17
# with every warning an error, run under the address and undefined behaviour sanitizers and the leak
# check.
#
# usage: tests/c/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${CARGO_TARGET_DIR:-target}/c-tests
rm -rf "$out" && mkdir -p "$out"
out=$(cd "$out" && pwd)
passed=0 failed=0
running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || true' EXIT

bindings/c/install.sh "$out/prefix" debug
export PKG_CONFIG_PATH=$out/prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export LD_LIBRARY_PATH=$out/prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1
strict=(-Wall -Wextra -Werror -pedantic -g -O1 -pthread)
sanitizers=(-fsanitize=address,undefined -fno-omit-frame-pointer)
read -ra flags <<<"$(pkg-config --cflags quorate)"
read -ra shared <<<"$(pkg-config --libs quorate)"
read -ra static <<<"$(pkg-config --static --libs quorate)"

# check NAME COMMAND...: one promise that a command keeps.
check() {
    local name=$1
    shift
    if "$@" >"$out/log" 2>&1; then
        passed=$((passed + 1)) && echo "ok $name"
    else
        failed=$((failed + 1)) && echo "FAILED $name" && cat "$out/log"
    fi
}

# run NAME PROGRAM ARGUMENT...: a test program; its lines "ok ..." are the promises it kept.
run() {
    local name=$1 code=0
    shift
    timeout -k 5 300 "$@" >"$out/log" 2>&1 </dev/null &
    running=$!
    wait "$running" || code=$?
    running=
    sed -n "s/^ok /ok $name: /p" "$out/log"
    passed=$((passed + $(grep -c '^ok ' "$out/log" || true)))
    if [ "$code" != 0 ]; then
        failed=$((failed + 1)) && echo "FAILED $name (exit code $code)"
        grep -v '^ok ' "$out/log" || true
    fi
}

fresh() { rm -rf "$out/$1" && mkdir -m 700 "$out/$1" && echo "$out/$1"; }

functions() { grep -oE '\bquorate_[a-z0-9_]+\(' include/quorate.h | tr -d '(' | sort -u; }
exported() { nm -D --defined-only "$out/prefix/lib/libquorate.so" | awk '$2 == "T" { print $3 }'; }
same_functions() { diff <(functions) <(exported | sort -u); }
check "the library exports the functions of the header, and nothing else" same_functions

for program in header bad_input lifecycle test_cluster; do
    source=tests/c/$program.c
    check "$program compiles as C11" gcc -std=c11 "${strict[@]}" "${sanitizers[@]}" "${flags[@]}" \
        "$source" -o "$out/$program-c" "${shared[@]}"
    check "$program compiles as C++17" g++ -std=c++17 -x c++ "${strict[@]}" "${sanitizers[@]}" \
        "${flags[@]}" "$source" -x none -o "$out/$program-cpp" "${shared[@]}"
done
check "the example compiles as C11" gcc -std=c11 "${strict[@]}" "${sanitizers[@]}" "${flags[@]}" \
    examples/c/ha_counter.c -o "$out/ha_counter" "${shared[@]}"
check "the example compiles as C++17" g++ -std=c++17 -x c++ "${strict[@]}" "${flags[@]}" \
    -fsyntax-only examples/c/ha_counter.c
check "the example of a plan compiles as C11" gcc -std=c11 "${strict[@]}" "${sanitizers[@]}" "${flags[@]}" \
    examples/c/plan_change.c -o "$out/plan_change" "${shared[@]}"
plans() { "$out/plan_change" examples/plan/{cluster.toml,status.json,next.toml} | grep -q 'rule databases-apart'; }
check "the example of a plan names the rule" plans
check "the example of a test compiles as C11" gcc -std=c11 "${strict[@]}" "${sanitizers[@]}" "${flags[@]}" \
    examples/c/test_failover.c -o "$out/test_failover" "${shared[@]}"
check "the example of a test runs" "$out/test_failover"
# The linker takes the .so before the .a: a folder without it leaves no choice.
mkdir -p "$out/static" && cp "$out/prefix/lib/libquorate.a" "$out/static/"
check "a program links with the static library" gcc -std=c11 "${strict[@]}" "${flags[@]}" \
    tests/c/header.c -o "$out/header-static" "-L$out/static" "${static[@]}"

for language in c cpp; do
    run "header ($language)" "$out/header-$language"
    run "bad_input ($language)" "$out/bad_input-$language" "$(fresh bad_input)"
    run "lifecycle ($language)" "$out/lifecycle-$language" "$(fresh lifecycle)"
    run "test_cluster ($language)" "$out/test_cluster-$language"
done
run "header (static)" env -u LD_LIBRARY_PATH "$out/header-static"
# Unlike the sanitizers, valgrind sees into the library. It cannot run a node: rustix, on which the
# node stands, reads the vDSO, which valgrind hides (bytecodealliance/rustix issue 1559).
if command -v valgrind >/dev/null; then
    check "bad_input compiles for valgrind" gcc -std=c11 "${strict[@]}" "${flags[@]}" \
        tests/c/bad_input.c -o "$out/bad_input-plain" "${shared[@]}"
    run "bad_input (valgrind)" valgrind --quiet --error-exitcode=9 --leak-check=full \
        --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
        "$out/bad_input-plain" "$(fresh bad_input)" without-nodes
fi
run "ha_counter" python3 tests/c/survives.py "$out/ha_counter" "$(fresh survives)"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
