"""What Pacemaker's scheduler decides about a snapshot."""

import dataclasses
import subprocess
import tempfile
import xml.etree.ElementTree as ET

import cib

# Shortly after what the history tells, so that nothing in it has expired.
AT = "2023-11-14 22:13:21Z"


@dataclasses.dataclass
class Decision:
    """What it does, and what comes of it."""

    running: dict  # member -> nodes, in the end
    fenced: set
    acted: set  # members that are started, stopped or moved
    scores: dict  # member -> {node: score}, as last assigned
    text: str


def decides(scenario):
    """What comes of a scenario in one transition."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(cib.of(scenario))
        file.flush()
        command = ["crm_simulate", "--simulate", "--show-scores", "--output-as=xml", "-t", AT, "-x", file.name]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        root = ET.fromstring(run.stdout)
    except ET.ParseError as error:
        raise SystemExit(f"{scenario['id']}: crm_simulate: {error}: {run.stderr}") from error
    return decision(root, run.stdout)


def decision(root, text):
    running, scores = {}, {}
    for resource in root.find("revised_cluster_status").iter("resource"):
        running[resource.get("id")] = sorted(node.get("name") for node in resource.iter("node"))
    for weight in root.iter("node_weight"):
        if weight.get("function") == "pcmk__primitive_assign":
            scores.setdefault(weight.get("id"), {})[weight.get("node")] = points(weight.get("score"))
    transition = root.find("transition")
    fenced = {action.get("target") for action in transition.iter("fencing_action")}
    acted = set()
    for action in transition.iter("rsc_action"):
        if action.get("op") in ("start", "stop", "migrate_to", "migrate_from"):
            acted.add(action.get("resource"))
    for action in transition.iter("pseudo_action"):
        name, _, _ = action.get("task").rpartition("_")
        name, _, what = name.rpartition("_")
        if what in ("start", "stop"):
            acted.add(name)
    return Decision(running, fenced, acted, scores, text)


def points(score):
    beyond_all = {"INFINITY": 1_000_000, "-INFINITY": -1_000_000}
    return beyond_all[score] if score in beyond_all else int(score)
