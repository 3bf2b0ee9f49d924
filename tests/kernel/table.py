#!/usr/bin/env python3
"""The table of docs/STORAGE.md, made of what the tests saw: lines `storage: KIND | TRIAL | VERDICT | WORDS`.

usage: tests/kernel/table.py FILE...

With UPDATE=1 the table is written; else it is compared, and exit status 1 says that the page is out of date.
"""

import os
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "STORAGE.md"
BEGIN, END = "<!-- storage -->\n", "<!-- end -->\n"
LAST = ["preempt and abort, done", "path loss", "target restart", "refused stale writes"]
# How long the LUN took to pass to another. It differs from run to run, so it is written and never compared.
TIMES = "time of a take-over"
KINDS = ["tgt", "LIO, iSCSI", "LIO, tcm_loop", "disk", "file"]


def without_times(page: str) -> list[str]:
    return [line for line in page.splitlines() if not line.startswith(f"| {TIMES} ")]


def main() -> int:
    found: dict[str, dict[str, str]] = {}
    for name in sys.argv[1:]:
        for line in Path(name).read_text(errors="replace").splitlines():
            if "storage: " not in line or line.count(" | ") != 3:
                continue
            kind, trial, verdict, words = line.split("storage: ", 1)[1].split(" | ")
            if trial == "preempt" and words.startswith("the LUN passed in "):
                found.setdefault(TIMES, {})[kind] = words.removeprefix("the LUN passed in ").strip()
            # Times differ from run to run; they stand in the text.
            if not trial.startswith("time of"):
                found.setdefault(trial, {})[kind] = verdict.lower()
    kinds = [kind for kind in KINDS if any(kind in row for row in found.values())]
    missing = sorted(set(KINDS) - set(kinds))
    if missing:
        print(f"table: nothing was seen of {', '.join(missing)}", file=sys.stderr)
        return 1
    rows = [f"| | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    last = [*LAST, TIMES]
    order = [trial for trial in found if trial not in last] + [trial for trial in last if trial in found]
    rows += [f"| {trial} | {' | '.join(found[trial].get(kind, '') for kind in kinds)} |" for trial in order]
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    fresh = before + BEGIN + "\n" + "\n".join(rows) + "\n\n" + END + after
    if os.environ.get("UPDATE"):
        PAGE.write_text(fresh)
    elif without_times(fresh) != without_times(page):
        print("table: docs/STORAGE.md is out of date: UPDATE=1 make test-kernel", file=sys.stderr)
        print("\n".join(rows), file=sys.stderr)
        return 1
    return 0


sys.exit(main())
