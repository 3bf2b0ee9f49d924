"""A snapshot in the scenario format as a CIB: what Pacemaker's scheduler would be given in that state."""

import hashlib
import xml.etree.ElementTree as ET

INFINITY = "INFINITY"
OK, ERROR, NOT_RUNNING = 0, 1, 7
NO_QUORUM = {"self-fence": "suicide", "stop": "stop", "freeze": "freeze", "ignore": "ignore"}
# in_ccm, crmd, join, expected: how a node is seen.
SEEN = {
    "online": ("true", "online", "member", "member"),
    "standby": ("true", "online", "member", "member"),
    "maintenance": ("true", "online", "member", "member"),
    "unclean": ("true", "online", "member", "member"),
    "offline": ("false", "offline", "down", "down"),
    "lost": ("false", "offline", "down", "member"),
}
PROVIDER = {"class": "ocf", "provider": "pacemaker", "type": "Dummy"}
TIME = 1_700_000_000
MONITOR_TIMEOUT_MS = 20_000


def score(value):
    return {"inf": INFINITY, "-inf": "-" + INFINITY}.get(value, str(value))


def flag(value):
    return "true" if value else "false"


def digest(interval):
    """What Pacemaker compares to see whether a resource's definition has changed; with another one it restarts it."""
    timeout = f' CRM_meta_timeout="{MONITOR_TIMEOUT_MS}"' if interval else ""
    return hashlib.md5(f" <parameters{timeout}/>\n".encode()).hexdigest()


class Cib:
    """The document, while it is written."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.cluster = scenario.get("cluster", {})
        self.fencing = self.cluster.get("fencing", {}).get("enabled", True)
        self.ids = 0
        quorum = self.cluster.get("quorum", {})
        self.root = ET.Element(
            "cib",
            {
                "crm_feature_set": "3.16.1",
                "validate-with": "pacemaker-3.9",
                "epoch": "1",
                "num_updates": "0",
                "admin_epoch": "0",
                "have-quorum": "1" if quorum.get("have", True) else "0",
            },
        )
        configuration = ET.SubElement(self.root, "configuration")
        self.options(ET.SubElement(configuration, "crm_config"), quorum)
        self.nodes(ET.SubElement(configuration, "nodes"))
        self.resources(ET.SubElement(configuration, "resources"))
        self.constraints(ET.SubElement(configuration, "constraints"))
        self.status(ET.SubElement(self.root, "status"))

    def text(self):
        ET.indent(self.root)
        return ET.tostring(self.root, encoding="unicode")

    def new(self, parent, tag, attributes):
        self.ids += 1
        return ET.SubElement(parent, tag, {"id": f"id-{self.ids}", **attributes})

    def pairs(self, parent, tag, values):
        if values:
            whole = self.new(parent, tag, {})
            for name, value in values.items():
                self.new(whole, "nvpair", {"name": name, "value": str(value)})

    def options(self, parent, quorum):
        one = self.cluster
        values = {
            "stonith-enabled": flag(self.fencing),
            "no-quorum-policy": NO_QUORUM[quorum.get("on_loss", "self-fence")],
            "startup-fencing": flag(one.get("startup_fencing", True)),
            "symmetric-cluster": flag(not one.get("opt_in_placement", False)),
            "placement-strategy": one.get("placement_strategy", "default"),
            "maintenance-mode": flag(one.get("maintenance", False)),
            "stop-all-resources": flag(one.get("stop_all", False)),
            "start-failure-is-fatal": flag(one.get("start_failure_is_fatal", False)),
            "cluster-infrastructure": "corosync",
        }
        self.pairs(parent, "cluster_property_set", values)

    def nodes(self, parent):
        for number, node in enumerate(self.scenario["nodes"], 1):
            element = ET.SubElement(parent, "node", {"id": str(number), "uname": node["name"]})
            values = {}
            if node.get("state") == "standby":
                values["standby"] = "true"
            if node.get("state") == "maintenance":
                values["maintenance"] = "true"
            self.pairs(element, "instance_attributes", values)
            self.pairs(element, "utilization", node.get("capacity", {}))

    def resources(self, parent):
        for group in self.scenario["groups"]:
            if group.get("single"):
                self.primitive(parent, group["members"][0])
                continue
            whole = ET.SubElement(parent, "group", {"id": group["name"]})
            meta = {word: flag(group.get(word, False)) for word in ("ordered", "collocated")}
            self.pairs(whole, "meta_attributes", meta)
            for member in group["members"]:
                self.primitive(whole, member)
        if self.fencing:
            # It may run nowhere, so that it takes no place among the rest; it can fence all the same.
            ET.SubElement(parent, "primitive", {"id": "Fencing", "class": "stonith", "type": "fence_dummy"})

    def primitive(self, parent, member):
        element = ET.SubElement(parent, "primitive", {"id": member["name"], **PROVIDER})
        meta = {}
        desired = member.get("desired", "running")
        if desired in ("stopped", "disabled"):
            meta["target-role"] = "Stopped"
        if desired == "unmanaged" or not member.get("managed", True):
            meta["is-managed"] = "false"
        for key, name in (("priority", "priority"), ("stickiness", "resource-stickiness")):
            if key in member:
                meta[name] = score(member[key])
        for key in ("migration_threshold", "failure_timeout", "requires", "multiple_active"):
            if key in member:
                meta[key.replace("_", "-")] = score(member[key])
        if member.get("live_movable"):
            meta["allow-migrate"] = "true"
        self.pairs(element, "meta_attributes", meta)
        self.operations(element, member)
        self.pairs(element, "utilization", member.get("utilization", {}))

    def operations(self, element, member):
        operations = ET.SubElement(element, "operations")
        on_fail = dict(member.get("on_fail", {}))
        if member.get("initial", {}).get("blocked"):
            on_fail["stop"] = "block"
        for name, interval in (("start", "0"), ("stop", "0"), ("monitor", "10s")):
            attributes = {"name": name, "interval": interval, "timeout": f"{MONITOR_TIMEOUT_MS // 1000}s"}
            if name in on_fail:
                attributes["on-fail"] = on_fail[name]
            self.new(operations, "op", attributes)

    def constraints(self, parent):
        for rule in self.scenario.get("rules", []):
            kind = rule["type"]
            if kind == "location":
                attributes = {"rsc": rule["group"], "node": rule["node"], "score": score(rule["score"])}
                self.new(parent, "rsc_location", attributes)
            elif kind in ("possible-owners", "preferred-owners"):
                self.owners(parent, rule)
            elif kind == "colocation":
                attributes = {"rsc": rule["group"], "with-rsc": rule["with"], "score": score(rule["score"])}
                if "influence" in rule:
                    attributes["influence"] = flag(rule["influence"])
                self.new(parent, "rsc_colocation", attributes)
            elif kind == "order":
                attributes = {"first": rule["first"], "then": rule["then"], **self.order(rule)}
                for key in ("first_action", "then_action"):
                    if key in rule:
                        attributes[key.replace("_", "-")] = rule[key]
                self.new(parent, "rsc_order", attributes)
            elif kind == "order_any":
                self.order_any(parent, rule)
            else:
                raise ValueError(f"no rule of Pacemaker says {kind}")
        if self.fencing:
            for node in self.scenario["nodes"]:
                attributes = {"rsc": "Fencing", "node": node["name"], "score": "-" + INFINITY}
                self.new(parent, "rsc_location", attributes)

    def order(self, rule):
        attributes = {"kind": rule.get("kind", "mandatory").capitalize()}
        if "symmetrical" in rule:
            attributes["symmetrical"] = flag(rule["symmetrical"])
        return attributes

    def order_any(self, parent, rule):
        element = self.new(parent, "rsc_order", self.order(rule))
        first = self.new(element, "resource_set", {"sequential": "false", "require-all": "false"})
        then = self.new(element, "resource_set", {})
        for name in rule["first_any"]:
            ET.SubElement(first, "resource_ref", {"id": name})
        ET.SubElement(then, "resource_ref", {"id": rule["then"]})

    def owners(self, parent, rule):
        least = min(rule["nodes"].values())
        for group in rule["groups"]:
            for node in self.scenario["nodes"]:
                if node["name"] in rule["nodes"]:
                    points = str(1 + rule["nodes"][node["name"]] - least)
                elif rule["type"] == "possible-owners":
                    points = "-" + INFINITY
                else:
                    continue
                self.new(parent, "rsc_location", {"rsc": group, "node": node["name"], "score": points})

    def status(self, parent):
        members = [member for group in self.scenario["groups"] for member in group["members"]]
        for number, node in enumerate(self.scenario["nodes"], 1):
            state = node.get("state", "online")
            known = any(node["name"] in one.get("initial", {}).get("running_on", []) for one in members)
            if state == "lost" and not known and not self.cluster.get("startup_fencing", True):
                continue  # Never seen: what startup-fencing is about.
            names = ("in_ccm", "crmd", "join", "expected")
            seen = dict(zip(names, SEEN[state]))
            if state == "unclean" and not self.fencing:
                seen["crmd"] = "offline"
            element = ET.SubElement(
                parent, "node_state", {"id": str(number), "uname": node["name"], **seen}
            )
            self.transient(element, number, node, members)
            lrm = ET.SubElement(element, "lrm", {"id": str(number)})
            history = ET.SubElement(lrm, "lrm_resources")
            for call, member in enumerate(members, 1):
                self.history(history, member, node["name"], call * 10)

    def transient(self, element, number, node, members):
        values = {}
        if node.get("shutting_down"):
            values["shutdown"] = TIME
        if node.get("state") == "unclean":
            values["terminate"] = "true"
        for member in members:
            count = member.get("initial", {}).get("fail_count", {}).get(node["name"])
            if count:
                operation = f"{member['name']}#monitor_10000"
                values[f"fail-count-{operation}"] = INFINITY if count == "inf" else count
                values[f"last-failure-{operation}"] = TIME
        if values:
            holder = ET.SubElement(element, "transient_attributes", {"id": str(number)})
            self.pairs(holder, "instance_attributes", values)

    def history(self, parent, member, node, call):
        initial = member.get("initial", {})
        element = ET.SubElement(parent, "lrm_resource", {"id": member["name"], **PROVIDER})
        if node not in initial.get("running_on", []):
            self.operation(element, member["name"], ("monitor", 0, NOT_RUNNING, NOT_RUNNING), call, node)
            return
        self.operation(element, member["name"], ("start", 0, OK, OK), call, node)
        failed = ERROR if initial.get("failed") else OK
        self.operation(element, member["name"], ("monitor", 10_000, failed, OK), call + 1, node)
        if initial.get("blocked"):
            self.operation(element, member["name"], ("stop", 0, ERROR, OK), call + 2, node)

    def operation(self, parent, name, what, call, node):
        task, interval, code, expected = what
        key = f"{call}:1:{expected}:00000000-0000-0000-0000-000000000001"
        kind = {("stop", ERROR): "last_failure_0"}.get((task, code), f"{task}_{interval}")
        attributes = {
            "id": f"{name}_{kind}",
            "operation_key": f"{name}_{task}_{interval}",
            "operation": task,
            "crm_feature_set": "3.16.1",
            "transition-key": key,
            "transition-magic": f"0:{code};{key}",
            "on_node": node,
            "call-id": str(call),
            "rc-code": str(code),
            "op-status": "0",
            "interval": str(interval),
            "last-rc-change": str(TIME),
            "exec-time": "1",
            "queue-time": "0",
            "op-digest": digest(interval),
        }
        ET.SubElement(parent, "lrm_rsc_op", attributes)


def of(scenario):
    """The CIB of a scenario, as text."""
    return Cib(scenario).text()
