"""What a change of the configuration would do to a cluster, before it is made.

usage: plan_change.py CURRENT.toml STATUS.json NEXT.toml
"""

from __future__ import annotations

import sys
from pathlib import Path

import quorate


def main(current_file: str, status_file: str, next_file: str) -> None:
    current = quorate.Config.from_file(current_file)
    next = quorate.Config.from_file(next_file)
    for difference in quorate.diff(current, next):
        print(difference)
    print(quorate.Plan.of_status(current, Path(status_file).read_text(), next))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
