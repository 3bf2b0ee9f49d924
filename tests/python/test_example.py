"""The example survives the death of its peers: three processes, and kill -9."""

from __future__ import annotations

import signal
from pathlib import Path

from conftest import Child, Cluster, wait_for


def counted(cluster: Cluster) -> int:
    """How far the counter is."""
    files = list((cluster.folder / "lun").rglob("count"))
    return int(files[0].read_text()) if files else 0


def runs_counter(child: Child) -> bool:
    """Whether the newest step of the counter that the child told of is its start."""
    steps = [line for line in child.said().splitlines() if line.startswith("completed ")]
    return bool(steps) and "start done" in steps[-1]


def owner_of_the_counter(cluster: Cluster) -> Child:
    found: list[Child] = []

    def look() -> bool:
        found[:] = [
            child
            for child in cluster.children.values()
            if child.process.poll() is None and runs_counter(child)
        ]
        return len(found) == 1

    wait_for("one owner of the counter", look)
    return found[0]


def test_the_counter_goes_on_when_its_node_is_killed(cluster: Cluster, root: Path) -> None:
    program = root / "examples/python/ha_counter.py"
    for name in cluster.names:
        cluster.spawn(name, program)
    first = owner_of_the_counter(cluster)
    wait_for("five counts", lambda: counted(cluster) >= 5)

    first.kill()
    before = counted(cluster)
    second = owner_of_the_counter(cluster)
    assert second is not first
    wait_for("five more counts", lambda: counted(cluster) >= before + 5)
    said = second.said()
    assert "assigned " in said and "online " in said

    # The first comes back and takes part; then the second may die.
    back = f"{first.name} takes part"
    backs = second.said().count(back)
    cluster.spawn(first.name, program)
    wait_for("its return", lambda: second.said().count(back) > backs)
    second.kill()
    third = owner_of_the_counter(cluster)
    assert third is not second
    before = counted(cluster)
    wait_for("five more counts", lambda: counted(cluster) >= before + 5)


def test_the_example_leaves_in_order_on_ctrl_c(cluster: Cluster, root: Path) -> None:
    program = root / "examples/python/ha_counter.py"
    for name in cluster.names:
        cluster.spawn(name, program)
    first = owner_of_the_counter(cluster)
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(40) == 0, first.said()
    second = owner_of_the_counter(cluster)
    before = counted(cluster)
    wait_for("it counts on", lambda: counted(cluster) >= before + 2)
    assert second is not first


def test_a_wrong_argument_is_one_line_with_the_remedy(cluster: Cluster, root: Path) -> None:
    program = root / "examples/python/ha_counter.py"
    cluster.key_file.chmod(0o644)
    child = cluster.spawn("n1", program)
    assert child.process.wait(40) == 1
    assert child.said().startswith("ha_counter: key file ") and "chmod 600" in child.said()
    assert child.said().count("\n") == 1
