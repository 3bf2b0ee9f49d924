"""What differs between what quorate does and what Pacemaker does."""

TOUCHES = ("started", "stopped", "killed", "saved", "resumed", "moved_live")
MUST_NOT = -1_000_000


# Where we do otherwise on purpose, or Pacemaker's choice is one of several (docs/FROM_OTHER_CLUSTERS.md).
AGREED = {
    "freeze": "without a quorum nothing at all is decided: what runs stays as it is",
    "half lost": "what also ran on a lost node is not restarted where it runs on",
    "leaves": "what is left alone on a node that shuts down is stopped in order, with all else there",
    "no quorum": "without a quorum nobody is fenced, and what cannot be stopped ends with its node's lease",
    "packing": "where room is short, who gets it among equals",
    "who moves": "who moves where rules about company are broken, or pull both ways",
}


def differences(scenario, answer, decision):
    """Pairs: of which kind, and what it is; and the same for what is agreed."""
    found = all_differences(scenario, answer, decision)
    told = [(kind, what) for kind, what, reason in found if not reason]
    return told, [(reason, what) for _, what, reason in found if reason]


def agreed(scenario, member, kind):
    """Why a difference is none; empty: it is one."""
    cluster, initial = scenario["cluster"], member.get("initial", {})
    quorum, running = cluster.get("quorum", {}), initial.get("running_on", [])
    nodes = {node["name"]: node for node in scenario["nodes"] if node["name"] in running}
    alone = initial.get("blocked") or not member.get("managed", True) or cluster.get("maintenance")
    tied = len(companions(scenario, [member["name"]])) > 1
    if not quorum.get("have", True) and quorum.get("on_loss") == "freeze":
        return "freeze"
    if not quorum.get("have", True) and initial.get("blocked"):
        return "no quorum"
    if len(running) > 1 and any(node.get("state") == "lost" for node in nodes.values()):
        return "half lost"
    if alone and any(node.get("shutting_down") for node in nodes.values()):
        return "leaves"
    if kind in ("runs", "node", "disturbed") and cluster.get("placement_strategy", "default") != "default":
        return "packing"
    if kind in ("node", "disturbed") and tied:
        return "who moves"
    return ""


def all_differences(scenario, answer, decision):
    if "skipped" in answer:
        return [("skipped", answer["skipped"], "")]
    found = [("violation", f"{one['invariant']}: {one['what']}", "") for one in answer["violations"]]
    found += fences(scenario, answer, decision)
    runs = ours(scenario, answer)
    touched = {fact[2] for fact in answer["facts"] if fact[1].partition("_")[2] in TOUCHES}
    free, elsewhere = set(), []
    for member in members(scenario):
        kind, what = judge(scenario, member, runs, touched, decision)
        if kind == "free":
            free.add(member["name"])
        elif kind:
            elsewhere.append((member["name"], kind, what, agreed(scenario, member, kind)))
    # Where one may go to several nodes, those that follow it have a choice, too.
    for name in companions(scenario, free):
        elsewhere = [one for one in elsewhere if one[0] != name or one[1] == "runs"]
    return found + [(kind, what, reason) for _, kind, what, reason in elsewhere]


def members(scenario):
    return [member for group in scenario["groups"] for member in group["members"]]


def judge(scenario, member, runs, touched, decision):
    name = member["name"]
    before = member.get("initial", {}).get("running_on", [])
    here, there = runs[name], decision.running.get(name, [])
    # What is lost and not fenced is told to be where it was.
    lost = {node["name"] for node in scenario["nodes"] if node.get("state") in ("lost", "offline")}
    there = [node for node in there if node not in lost]
    where = f"{name}, before on {before}, is on {here} and with Pacemaker on {there}"
    if bool(here) != bool(there):
        return "runs", where
    if name not in decision.acted:
        if name in touched and here:
            return "disturbed", where
        return ("node", where) if here != there else (None, "")
    if here != there:
        scores = decision.scores.get(name, {})
        return ("free", "") if as_good(scores, here, there) else ("node", f"{where}: {scores}")
    if here and name not in touched:
        return "untouched", f"{name} on {here} is left alone, and Pacemaker acts"
    return None, ""


def ours(scenario, answer):
    runs = {}
    for group in scenario["groups"]:
        state = answer["final"]["groups"][group["name"]]
        parts = state.get("members") or {group["name"]: state}
        for name, member in parts.items():
            runs[name] = sorted(member["running_on"])
    return runs


def fences(scenario, answer, decision):
    quorum = scenario["cluster"].get("quorum", {})
    frozen = not quorum.get("have", True) and quorum.get("on_loss") == "freeze"
    # Whatever leaves a node that is to be fenced shuts down with it.
    leaving = any(node.get("shutting_down") for node in scenario["nodes"])
    reason = "freeze" if frozen else "leaves" if leaving else ""
    if not quorum.get("have", True):
        reason = reason or "no quorum"
    nodes = answer["final"]["nodes"]
    proven = {fact[2] for fact in answer["facts"] if fact[1] == "fence_confirmed"}
    for node in scenario["nodes"]:
        name = node["name"]
        if name in decision.fenced and name not in proven and nodes[name] != "fenced":
            yield "fence", f"{name} is {nodes[name]}, and Pacemaker fences it", reason
        if name not in decision.fenced and nodes[name] == "fenced":
            yield "fence", f"{name} is fenced, and not by Pacemaker", reason


def as_good(scores, here, there):
    """Whether Pacemaker's own scores allow the other node."""
    if len(here) != len(there):
        return False
    best = max((scores.get(node, 0) for node in there), default=0)
    return all(scores.get(node, MUST_NOT) >= best > MUST_NOT for node in here)


def companions(scenario, names):
    """These members, and all that rules about places tie to them."""
    ties = [{member["name"] for member in group["members"]} for group in scenario["groups"]]
    parts = {group["name"]: {member["name"] for member in group["members"]} for group in scenario["groups"]}
    for rule in scenario.get("rules", []):
        if rule["type"] == "colocation":
            ties.append(parts.get(rule["group"], {rule["group"]}) | parts.get(rule["with"], {rule["with"]}))
    reached = set(names)
    while True:
        more = set().union(*(tie for tie in ties if tie & reached)) - reached
        if not more:
            return reached
        reached |= more
