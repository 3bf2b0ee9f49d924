"""The configuration as a value, explanations, and the commands of operators."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import quorate
from conftest import WAIT, Cluster, wait_for
from test_node import owner, serving


def with_owners(config: quorate.Config, owners: list[str]) -> quorate.Config:
    """The same configuration, in which the group may run on these nodes."""
    words = json.loads(config.to_json())
    words["groups"][0].update(possible_owners=owners, preferred_owners=[])
    return quorate.Config.from_json(json.dumps(words))


def test_a_configuration_is_the_same_as_toml_and_as_json(cluster: Cluster) -> None:
    again = quorate.Config.from_json(cluster.config.to_json())
    assert again.to_toml() == cluster.config.to_toml()
    with pytest.raises(quorate.ConfigError, match="did you mean nodes"):
        quorate.Config.from_json(cluster.config.to_json().replace('"nodes"', '"nodse"'))


def test_differences_are_named_by_their_place(cluster: Cluster) -> None:
    next = with_owners(cluster.config, ["n2"])
    places = {one.place: one for one in quorate.diff(cluster.config, next)}
    assert places["groups.own.possible_owners"].after == ["n2"]
    assert "n2" in str(places["groups.own.possible_owners"])
    assert quorate.diff(next, next) == []


def test_another_configuration_is_planned_applied_and_rolled_back(cluster: Cluster) -> None:
    serving(cluster)
    first, node = owner(cluster), cluster.nodes["n1"]
    current = node.configuration()
    others = [name for name in cluster.names if name != first]
    next = with_owners(current.config, others)
    plan = node.plan(next)
    (effect,) = plan.effects
    assert (effect.effect, effect.group, effect.source) == ("moves", "own", first)
    assert effect.why[0].code == "not_possible" and plan.refusal is None
    assert str(plan).startswith("this change moves 1 group")
    drain = node.plan_drain(first)
    (effect,) = drain.effects
    assert (effect.effect, effect.group, effect.source) == ("moves", "own", first)
    assert node.status().online_on("own") == first, "nothing was done"
    move = node.plan_move("own", others[0])
    assert (move.effects[0].target, move.refusal) == (others[0], None)
    with pytest.raises(quorate.RefusedError, match="n9"):
        node.plan_drain("n9")
    assert node.keeps_on_shutdown(reboots=True) is False
    node.apply(next, "spare it", only_if=current.version, timeout=WAIT)
    status = node.wait_until(lambda status: status.online_on("own") in others, timeout=WAIT)
    assert status.config_version == 2 and status.online_on("own") == effect.target
    why = node.why_not("own", first)
    assert why is not None and why.code == "not_possible" and why.cannot
    refusal = node.plan_move("own", first).refusal
    assert refusal is not None and why.text in refusal
    explanation = node.explanation("own")
    assert explanation.owner in others
    assert why.code in [one.code for one in explanation.not_there if one.node == first]
    assert "the node were a possible owner" in why.would_need
    assert node.survival(1).tried == 3
    assert list(explanation.sentences) == str(explanation).splitlines()
    with pytest.raises(quorate.RefusedError, match="2 is in force by now"):
        node.apply(current.config, only_if=1, timeout=WAIT)
    node.roll_back(reason="it was better", timeout=WAIT)
    node.wait_until(lambda status: status.config_version == 3, timeout=WAIT)
    assert quorate.diff(node.configuration().config, current.config) == []
    founded, spared, back = node.history()
    assert (founded.reason, spared.reason) == ("founded", "spare it")
    assert back.in_force and founded.kept and spared.utc() is not None


def test_what_cannot_all_hold_is_named(cluster: Cluster) -> None:
    assert quorate.conflict(cluster.config) is None
    words = json.loads(cluster.config.to_json())
    words["groups"][0]["scores"] = {name: "never" for name in cluster.names}
    found = quorate.conflict(quorate.Config.from_json(json.dumps(words)))
    assert found is not None and (found.group, found.rules, found.room) == ("own", (), False)
    spared = quorate.survival(with_owners(cluster.config, ["n2"]), 1)
    assert (spared.tried, spared.failing) == (3, 1)
    assert spared.losses[0].nodes == ("n2",) and "own" in spared.losses[0].unplaced
    words = json.loads(with_owners(cluster.config, ["n2"]).to_json())
    words["policy"] = {"survives": 1}
    with pytest.raises(quorate.ConfigError, match="policy.survives"):
        quorate.Config.from_json(json.dumps(words))


def test_a_saved_status_can_be_asked_as_well(cluster: Cluster) -> None:
    node = {"name": "n1", "state": "up"}
    group = {"name": "own", "state": "online", "owner": "n1", "online_wanted": True}
    status = json.dumps({"nodes": [node, {**node, "name": "n2"}], "groups": [group]})
    plan = quorate.Plan.of_status(cluster.config, status, with_owners(cluster.config, ["n2"]))
    (effect,) = plan.effects
    assert (effect.source, effect.target) == ("n1", "n2")
    with pytest.raises(quorate.ConfigError, match="quorate status --json"):
        quorate.Plan.of_status(cluster.config, "{}", cluster.config)


def test_the_example_of_a_plan_names_the_rule(root: Path) -> None:
    folder = root / "examples"
    files = [folder / "plan" / name for name in ("cluster.toml", "status.json", "next.toml")]
    command = [sys.executable, str(folder / "python/plan_change.py"), *map(str, files)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "this change moves 1 group" in said and "rule databases-apart" in said


def test_groups_come_and_go(cluster: Cluster) -> None:
    serving(cluster)
    node = cluster.nodes["n1"]
    process = '[[groups.resources]]\nname = "idle"\ndriver = "process"\ncommand = ["sleep", "1000"]'
    node.add_group(f'[[groups]]\nname = "new"\n{process}', timeout=WAIT)
    node.wait_until(lambda status: status.online_on("new"), timeout=WAIT)
    with pytest.raises(quorate.RefusedError, match="take it offline first"):
        node.remove_group("new", timeout=WAIT)
    node.offline("new", timeout=WAIT)
    offline = lambda status: [one.state for one in status.groups if one.name == "new"] == ["offline"]
    node.wait_until(offline, timeout=WAIT)
    node.remove_group("new", timeout=WAIT)
    node.wait_until(lambda status: status.group_named("new") is None, timeout=WAIT)
    with pytest.raises(quorate.ConfigError, match="one at a time"):
        node.add_group("groups = []")


def test_nodes_are_added_and_evicted(cluster: Cluster) -> None:
    serving(cluster)
    node = cluster.nodes["n1"]
    networks = len(node.configuration().config.to_toml().split("addresses = [")[1].split("]")[0].split(","))
    addresses = ", ".join(f'"127.0.0.1:{9 + place}"' for place in range(networks))
    new = f'[[nodes]]\nname = "n4"\nvoter = false\naddresses = [{addresses}]'
    node.add_node(new, timeout=WAIT)
    node.wait_until(lambda status: "n4" in [one.name for one in status.nodes], timeout=WAIT)

    def is_evicted() -> bool:
        # A cluster that has just begun has to hear of all leases first.
        try:
            node.evict_node("n4", timeout=WAIT)
        except quorate.RefusedError as refused:
            assert "bring other nodes back first" in str(refused)
            return False
        return True

    wait_for("n4 may be evicted", is_evicted)
    node.wait_until(lambda status: "n4" not in [one.name for one in status.nodes], timeout=WAIT)
    with pytest.raises(quorate.RefusedError, match="drain it first"):
        node.evict_node(owner(cluster), timeout=WAIT)
    with pytest.raises(quorate.ConfigError, match="one at a time"):
        node.add_node("nodes = []")


def test_a_maintenance_ends_also_when_its_block_raises(cluster: Cluster) -> None:
    serving(cluster)
    first = owner(cluster)
    node = cluster.nodes[next(name for name in cluster.names if name != first)]
    with pytest.raises(ZeroDivisionError), node.maintenance(first, timeout=WAIT):
        status = node.status()
        found = status.node_named(first)
        assert found is not None and found.draining and status.online_on("own") != first
        1 // 0
    node.wait_until(lambda status: status.online_on("own") == first, timeout=WAIT)
    found = node.status().node_named(first)
    assert found is not None and not found.paused


def test_every_command_of_an_operator_is_carried_out(cluster: Cluster) -> None:
    serving(cluster)
    first = owner(cluster)
    node = cluster.nodes[first]
    node.disarm(ttl=600, timeout=WAIT)
    status = node.wait_until(lambda status: status.disarmed, timeout=WAIT)
    assert status.disarmed == "freeze" and 0 < (status.disarm_left_ms or 0) <= 600_000
    node.arm(timeout=WAIT)
    node.unmanage("own", timeout=WAIT)
    node.manage("own", timeout=WAIT)
    node.hold_moves(timeout=WAIT)
    node.hold_moves(False, timeout=WAIT)
    node.report_load("own", {"cpus": 1}, timeout=WAIT)
    node.count_failures("own", first, 2, timeout=WAIT)
    node.clean_up("own", first, timeout=WAIT)
    # One that hands over owes answers that it does not give any more.
    other = "n2" if node.status().coordinator == "n1" else "n1"
    node.let_coordinate(other, False, timeout=WAIT)
    node.let_coordinate(other, True, timeout=WAIT)
    node.pause(first, timeout=WAIT)
    node.resume(first, "never", timeout=WAIT)
    with pytest.raises(ValueError, match="now, policy, never"):
        node.resume(first, "later")
    with pytest.raises(ValueError, match="freeze, ignore"):
        node.disarm("off")
    with pytest.raises(quorate.MisuseError, match="reason"):
        node.fence("n1", "")
    node.restart_group("own", timeout=WAIT)
    node.wait_until(lambda status: status.online_on("own") not in (None, first), timeout=WAIT)
    node.empty(first, timeout=WAIT)
    node.resume(first, "now", timeout=WAIT)
    node.disable("own", timeout=WAIT)
    node.wait_until(lambda status: status.online_on("own") is None, timeout=WAIT)
