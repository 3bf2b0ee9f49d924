"""The test cluster in virtual time, and what-if."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Optional

import pytest
import quorate
from quorate.testing import Cluster, Hangs


def settled(cluster: Cluster, group: str = "vm1") -> str:
    """The owner of a group, once the cluster is at rest."""
    cluster.settle()
    owner = cluster.owner_of(group)
    assert owner is not None
    return owner


def kinds(cluster: Cluster) -> list[str]:
    """The kinds of what has happened."""
    return [entry.kind for entry in cluster.timeline()]


@pytest.mark.parametrize("fault", ["crash", "power_off", "cut", "cut_storage", "leave"])
def test_a_fault_moves_the_group_and_healing_brings_the_node_back(fault: str) -> None:
    with Cluster(nodes=3, seed=7) as c:
        first = settled(c)
        getattr(c, fault)(first)
        c.run_until(lambda: c.owner_of("vm1") not in (None, first), timeout=60)
        c.heal()
        assert settled(c) != first
        status = c.status()
        assert status is not None and all(node.state == "up" for node in status.nodes)
        assert kinds(c).count("group_started") == 2
        assert 0 <= c.outage_of("vm1") < 20


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[quorate.testing.Entry]:
        with Cluster(seed=seed, groups={"db": "none", "vm": "enforced"}, profile="fast") as c:
            c.crash(settled(c, "db"))
            c.settle()
            return c.timeline()

    assert run(3) == run(3) != run(4)


def test_of_two_nodes_one_goes_on_with_a_witness() -> None:
    with Cluster(nodes=2, seed=3, witness=True) as c:
        settled(c)

        def witness() -> quorate.WitnessStatus:
            status = c.status("n1")
            assert status is not None and status.votes == 3 and status.witness is not None
            return status.witness

        assert witness().votes and witness().made
        with pytest.raises(quorate.UnknownError):
            c.cut_witness("n9")
        c.cut_witness()
        c.run_until(lambda: witness().reachable is False, timeout=60)
        assert witness().trouble and witness().asked_ms_ago is not None
        c.mend_witness()
        c.run_until(lambda: witness().reachable is True, timeout=60)
        answered = witness().answered_ms_ago
        assert answered is not None and answered < 60_000
        c.power_off("n2")
        assert settled(c) == "n1"


class Slow(quorate.Resource):
    """Takes 3 s to start, and keeps what it was asked."""

    def __init__(self, node: str, asked: list[str]) -> None:
        self.node, self.asked = node, asked

    def start(self, request: quorate.Request) -> float:  # type: ignore[override]
        assert request.luns[0].path.exists()
        self.asked.append(f"start {self.node}")
        return 3.0

    def stop(self, request: quorate.Request) -> None:
        raise RuntimeError("I will not")

    def kill(self, request: quorate.Request) -> None:
        self.asked.append(f"kill {self.node}")


def test_a_resource_of_ones_own_is_asked_in_virtual_time() -> None:
    asked: list[str] = []
    with Cluster(nodes=3, seed=1) as c:
        c.serve("vm1", lambda node: Slow(node, asked))
        first = settled(c)
        other = next(node for node in c.node_names if node != first)
        c.move_group("vm1", other)
        assert settled(c) == other
        assert 3 <= c.outage_of("vm1") < 5
        c.report("vm1", other, "it feels unwell")
        settled(c)
    # What refuses to stop is killed; what reports a failure, too.
    assert asked[:4] == [f"start {first}", f"kill {first}", f"start {other}", f"kill {other}"]


class Hanging(quorate.Resource):
    def start(self, request: quorate.Request) -> None:
        raise Hangs

    def kill(self, request: quorate.Request) -> None:
        pass


def test_what_hangs_is_killed_and_an_assertion_goes_on_to_the_test() -> None:
    with Cluster(seed=2) as c:
        c.serve("vm1", lambda node: Hanging())
        c.run_until(lambda: kinds(c).count("group_assigned") > 1, timeout=3600)
        assert c.owner_of("vm1") is None

    class Wrong(Hanging):
        def start(self, request: quorate.Request) -> None:
            assert request.verb == "stop", "it is the start"

    with Cluster(seed=2) as c:
        c.serve("vm1", lambda node: Wrong())
        with pytest.raises(AssertionError, match="it is the start"):
            c.settle()


def test_what_is_wrong_is_said_by_name() -> None:
    with Cluster() as c:
        with pytest.raises(quorate.UnknownError, match="n1, n2, n3"):
            c.crash("n9")
        with pytest.raises(quorate.MisuseError, match="no node runs"):
            c.drain("n1")
        with pytest.raises(quorate.UnknownError, match="start, load"):
            c.takes("vm1", "begin", 1.0)  # type: ignore[arg-type]
        settled(c)
        with pytest.raises(quorate.TimedOutError, match="group_started vm1"):
            c.run_until(lambda: False, timeout=1)
        with pytest.raises(quorate.RefusedError):
            c.move_group("vm9")
    with pytest.raises(quorate.UnknownError, match="default, fast"):
        Cluster(profile="slow")  # type: ignore[arg-type]
    with pytest.raises(quorate.ConfigError):
        Cluster(nodes=0)


def config(folder: Path) -> quorate.Config:
    nodes = [(name, f"10.0.0.{at}:7400") for at, name in enumerate(("a", "b", "c"), start=1)]
    return quorate.Config.from_toml(quorate.Config.template("c", 7, nodes, str(folder)))


def test_the_cluster_of_a_configuration_and_its_picture(tmp_path: Path) -> None:
    with Cluster(config=config(tmp_path), seed=5) as c:
        first = settled(c, "counter")
        c.pause(first, 3600)
        c.run_until(lambda: c.host_state(first) == "off", timeout=60)
        c.settle()
        assert c.owner_of("counter") not in (None, first)
        c.write_html(tmp_path / "run.html")
    assert (tmp_path / "run.html").read_text().startswith("<!DOCTYPE html>")


def test_what_if_says_what_comes_of_a_loss(tmp_path: Path) -> None:
    def owner(report: quorate.Report, at: int) -> Optional[str]:
        return report.cases[at].groups[0].after

    plain = quorate.what_if(config(tmp_path), "nodes:1")
    assert [case.lost for case in plain.cases] == [("a",), ("b",), ("c",)]
    assert all(case.quorum and owner(plain, at) for at, case in enumerate(plain.cases))
    assert str(plain).startswith("LOST  QUORUM")

    saved = {
        "nodes": [{"name": "a", "state": "down"}],
        "groups": [{"name": "counter", "owner": "c", "online_wanted": True}],
    }
    report = quorate.what_if(config(tmp_path), ["c"], status=saved, start_time=5)
    group = report.cases[0].group_named("counter")
    assert group is not None and group.before == "c"
    assert (group.fate, group.why) == ("down", "no quorum is left")

    with Cluster(config=config(tmp_path), seed=5) as c:
        first = settled(c, "counter")
        live = quorate.what_if(config(tmp_path), first, status=c.status(), start_time=5)
        moved = live.cases[0].groups[0]
        assert moved.fate == "moves" and moved.outage_ms is not None and moved.outage_ms > 5000
    with pytest.raises(quorate.MisuseError, match="n9 is no node"):
        quorate.what_if(config(tmp_path), "n9")


def test_the_example_passes(tmp_path: Path, root: Path) -> None:
    example = runpy.run_path(str(root / "examples/python/test_failover.py"))
    example["test_the_counter_survives_any_one_node"](tmp_path)


def test_every_command_of_an_operator_is_taken() -> None:
    with Cluster(nodes=3, seed=5, groups={"vm": "enforced", "db": "none"}) as c:
        first = settled(c, "vm")
        c.disarm(ttl=60)
        status = c.status()
        assert status is not None and status.disarmed == "freeze"
        c.arm()
        c.unmanage("db")
        c.online("db")
        c.hold_moves()
        c.hold_moves(False)
        c.report_load("db", {"cpus": 1})
        c.count_failures("db", first, 2)
        with pytest.raises(quorate.RefusedError, match="more than 1000000"):
            c.count_failures("db", first, 4_294_967_295)
        c.empty(first)
        assert settled(c, "vm") != first
        c.resume_node(first, "now")
        assert settled(c, "vm") == first
        c.drain(first)
        c.end_drain(first)
        assert settled(c, "vm") == first
        with pytest.raises(ValueError, match="now, policy, never"):
            c.resume_node(first, "later")
        c.disable("db")
        c.fence(first, "the test wants it")
        c.run_until(lambda: c.owner_of("vm") not in (None, first), timeout=60)


def test_a_node_comes_and_another_goes() -> None:
    with Cluster(seed=6) as c:
        owner = settled(c)
        with pytest.raises(quorate.RefusedError, match="drain it first"):
            c.evict_node(owner)
        c.add_node("new")
        c.add_node("spare", votes=False)
        c.drain(owner)
        c.settle()
        c.evict_node(owner)
        settled(c)
        assert set(c.node_names) == {"n1", "n2", "n3", "new", "spare"} - {owner}
        with pytest.raises(quorate.UnknownError, match="new"):
            c.crash(owner)


def test_a_configuration_comes_into_force_in_a_test_cluster(tmp_path: Path) -> None:
    before = config(tmp_path)
    words = json.loads(before.to_json())
    with Cluster(config=before, seed=2) as c:
        home = "b" if settled(c, "counter") == "a" else "a"
        words["groups"][0]["possible_owners"] = words["groups"][0]["preferred_owners"] = [home]
        c.apply(quorate.Config.from_json(json.dumps(words)), "only there")
        assert settled(c, "counter") == home
        with pytest.raises(quorate.RefusedError, match="in force by now"):
            c.apply(before, only_if=1)
