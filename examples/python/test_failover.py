"""How a resource of one's own is tested against failover, in milliseconds: `pytest test_failover.py`.

The counter of ha_counter.py keeps its count in a file on its LUN; here a test plays the cluster.
"""

from __future__ import annotations

from pathlib import Path

import quorate
from quorate.testing import Cluster


class Counter(quorate.Resource):
    """Counts its starts in a file on its LUN, and takes two seconds to start."""

    def start(self, request: quorate.Request) -> float:  # type: ignore[override]
        count = request.luns[0].path
        count.write_text(str(int(count.read_text() or 0) + 1))
        return 2.0

    def kill(self, request: quorate.Request) -> None:
        pass


def test_the_counter_survives_any_one_node(tmp_path: Path) -> None:
    (tmp_path / "disk-counter").touch()
    with Cluster(nodes=3, seed=7, groups=["counter"], dir=tmp_path) as c:
        c.serve("counter", lambda node: Counter())
        c.settle()
        for node in c.node_names:
            c.power_off(node)
            c.settle()
            assert c.owner_of("counter") not in (None, node)
            c.start(node)
            c.settle()
        starts = [entry for entry in c.timeline() if entry.kind == "group_started"]
        assert int((tmp_path / "disk-counter").read_text()) == len(starts) > 1
        assert c.outage_of("counter") < 10 * (len(starts) - 1)
