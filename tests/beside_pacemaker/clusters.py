"""Random small snapshots in the scenario format, from a seed, with the features that are asked for."""

import random

NODES = ("ash", "elm", "oak", "fir", "yew")
GROUPS = ("ant", "bee", "cat", "dog", "eel", "fox")
CAPACITY, UNIT = 8, "cpu"

# What a node of a feature's cluster may be.
STATES = {
    "offline": "offline",
    "lost": "lost",
    "unclean": "unclean",
    "standby": "standby",
    "node_maintenance": "maintenance",
}


def cluster(seed, features):
    """A cluster that shows these features, named in `FEATURES`."""
    maker = Maker(random.Random(f"{seed} {sorted(features)}"), features)
    return maker.scenario(f"{seed}-{'+'.join(sorted(features))}")


class Maker:
    """One cluster, while it is made up."""

    def __init__(self, rng, features):
        self.rng = rng
        self.features = set(features)

    def has(self, feature, chance=0.5):
        return feature in self.features and self.rng.random() < chance

    def scenario(self, name):
        rng = self.rng
        self.names = NODES[: rng.randint(2, 5)]
        nodes = [self.node(node) for node in self.names]
        groups = [self.group(group) for group in GROUPS[: rng.randint(1, 6)]]
        self.groups = groups
        rules = [rule for make in RULES for rule in make(self)]
        return {
            "format": "failover-scenario/1",
            "id": name,
            "features": sorted(self.features),
            "kind": "snapshot",
            "cluster": self.policies(),
            "nodes": nodes,
            "groups": groups,
            "rules": rules,
        }

    def policies(self):
        rng = self.rng
        quorum = {"have": True, "on_loss": "stop"}
        if self.has("no_quorum", 1):
            quorum = {"have": False, "on_loss": rng.choice(("stop", "freeze", "ignore"))}
        one = {"quorum": quorum, "fencing": {"enabled": not self.has("no_fencing", 1)}}
        one["startup_fencing"] = not self.has("no_startup_fencing", 1)
        if "utilization" in self.features:
            one["placement_strategy"] = rng.choice(("utilization", "minimal", "balanced"))
        for feature in ("opt_in_placement", "maintenance", "stop_all", "start_failure_is_fatal"):
            if self.has(feature, 1):
                one[feature] = True
        return one

    def node(self, name):
        node = {"name": name, "state": "online"}
        states = [state for state in STATES if state in self.features]
        if states and self.rng.random() < 0.4:
            node["state"] = STATES[self.rng.choice(states)]
        elif self.has("shutting_down", 0.3):
            node["shutting_down"] = True
        if "utilization" in self.features:
            node["capacity"] = {UNIT: self.rng.randint(2, CAPACITY)}
        self.states = {**getattr(self, "states", {}), name: node["state"]}
        return node

    def group(self, name):
        if not self.has("group", 0.6):
            return {"name": name, "single": True, "members": [self.member(name, self.home())]}
        home, count = self.home(), self.rng.randint(2, 3)
        ordered, collocated = self.rng.choice(((True, True), (True, True), (True, False), (False, True)))
        members = []
        for number in range(1, count + 1):
            away = not collocated and self.rng.random() < 0.5
            members.append(self.member(f"{name}{number}", self.home() if away else home))
        return {"name": name, "ordered": ordered, "collocated": collocated, "members": members}

    def home(self):
        """Where something runs: a node that can hold it; none: nowhere."""
        awake = [name for name in self.names if self.states[name] != "offline"]
        return None if not awake or self.has("not_running", 0.4) else self.rng.choice(awake)

    def member(self, name, home):
        rng = self.rng
        member, initial = {"name": name, "desired": "running"}, {}
        if home:
            initial["running_on"] = [home]
        if self.has("stopped", 0.3):
            member["desired"] = "stopped"
        if self.has("unmanaged", 0.3):
            member["managed"] = False
        if self.has("priority"):
            member["priority"] = rng.randint(1, 10)
        # Where nothing else counts Pacemaker evens out numbers, unless something wants to stay.
        member["stickiness"] = 1
        if self.has("stickiness"):
            member["stickiness"] = rng.choice((0, 1, 10, 100, "inf"))
        if "utilization" in self.features:
            member["utilization"] = {UNIT: rng.randint(1, 4)}
        if self.has("requires"):
            member["requires"] = rng.choice(("quorum", "fencing"))
        if self.has("live"):
            member["live_movable"] = True
        if home and self.has("failed", 0.4):
            initial["failed"] = True
            initial["fail_count"] = {home: rng.randint(1, 3)}
            if self.has("on_fail", 0.7):
                # What becomes of a failure is that of the operation which failed: watching.
                member["on_fail"] = {"monitor": rng.choice(("restart", "stop", "block", "fence", "ignore"))}
        elif home and self.has("blocked", 0.3):
            initial["blocked"] = True
        elif home and self.has("twice", 0.3):
            others = [one for one in self.names if one != home and self.states[one] == "online"]
            if others:
                initial["running_on"].append(rng.choice(others))
                member["multiple_active"] = rng.choice(("stop_start", "stop_unexpected", "stop_only", "block"))
        if self.has("threshold"):
            member["migration_threshold"] = rng.randint(1, 3)
            others = [one for one in self.names if one not in initial.get("fail_count", {})]
            if others and rng.random() < 0.5:
                count = rng.choice((1, 2, 3, "inf"))
                initial.setdefault("fail_count", {})[rng.choice(others)] = count
        if initial:
            member["initial"] = initial
        return member

    def some_rules(self, feature, most):
        return range(self.rng.randint(1, most)) if feature in self.features else ()

    def two(self):
        """Two groups, or members of two; not within one."""
        chosen = self.rng.sample(self.groups, 2) if len(self.groups) > 1 else []
        inner = "inner" in self.features
        pick = lambda group: (
            self.rng.choice(group["members"])["name"] if inner and self.rng.random() < 0.3 else group["name"]
        )
        return [pick(group) for group in chosen]

    def locations(self):
        for _ in self.some_rules("location", 6):
            score = self.rng.choice(("inf", "-inf", "-inf", 5, 10, 50, 100, -10, -100))
            group = self.rng.choice(self.groups)["name"]
            yield {"type": "location", "group": group, "node": self.rng.choice(self.names), "score": score}

    def owners(self):
        for _ in self.some_rules("owners", 3):
            kind = self.rng.choice(("possible-owners", "preferred-owners"))
            nodes = self.rng.sample(self.names, self.rng.randint(1, len(self.names)))
            group = self.rng.choice(self.groups)["name"]
            yield {"type": kind, "groups": [group], "nodes": {node: self.rng.randint(0, 3) for node in nodes}}

    def colocations(self):
        pairs = set()
        for _ in self.some_rules("colocation", 3):
            two = self.two()
            if not two or frozenset(two) in pairs:
                continue
            pairs.add(frozenset(two))
            score = self.rng.choice(("inf", "inf", "-inf", "-inf", 20, 200, -20, -200))
            rule = {"type": "colocation", "group": two[0], "with": two[1], "score": score}
            if self.has("influence"):
                rule["influence"] = self.rng.random() < 0.5
            yield rule

    def orders(self):
        pairs = set()
        for _ in self.some_rules("order", 3):
            two = self.two()
            if not two or frozenset(two) in pairs:
                continue
            pairs.add(frozenset(two))
            # Later ones after earlier ones, so that there is no circle unless it is asked for.
            first, then = two if "circle" in self.features else sorted(two)
            rule = {"type": "order", "first": first, "then": then}
            if self.has("order_kind", 0.7):
                rule["kind"] = self.rng.choice(("mandatory", "optional", "serialize"))
            if self.has("order_one_way") and rule.get("kind") != "serialize":
                rule["symmetrical"] = False
            if self.has("order_actions"):
                rule["first_action"] = self.rng.choice(("start", "stop"))
                rule["then_action"] = self.rng.choice(("start", "stop"))
                rule["symmetrical"] = False
            yield rule

    def orders_any(self):
        for _ in self.some_rules("order_any", 1):
            if len(self.groups) < 3:
                continue
            names = sorted(group["name"] for group in self.rng.sample(self.groups, 3))
            yield {"type": "order_any", "first_any": names[:2], "then": names[2], "kind": "mandatory"}


RULES = (Maker.locations, Maker.owners, Maker.colocations, Maker.orders, Maker.orders_any)

# Each feature, with those without which it shows nothing.
FEATURES = {
    "offline": (),
    "lost": (),
    "unclean": (),
    "standby": (),
    "node_maintenance": (),
    "shutting_down": (),
    "no_quorum": ("not_running",),
    "no_fencing": ("lost",),
    "no_startup_fencing": ("lost",),
    "group": ("standby",),
    "not_running": (),
    "stopped": (),
    "unmanaged": (),
    "priority": ("utilization", "not_running"),
    "stickiness": ("location",),
    "threshold": ("failed",),
    "utilization": ("not_running",),
    "requires": ("lost",),
    "live": ("standby",),
    "failed": (),
    "on_fail": ("failed",),
    "blocked": (),
    "twice": (),
    "location": (),
    "owners": (),
    "colocation": (),
    "influence": ("colocation",),
    "order": (),
    "order_kind": ("order",),
    "order_one_way": ("order",),
    "order_actions": ("order",),
    "order_any": (),
    "circle": ("order",),
    "inner": ("group", "colocation", "order"),
    "opt_in_placement": ("location",),
    "stop_all": (),
    "maintenance": ("lost",),
    "start_failure_is_fatal": ("failed",),
}


def with_needs(features):
    """These features and those that they need."""
    return set(features).union(*(FEATURES[one] for one in features))
