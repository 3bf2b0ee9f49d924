"""A highly available counter: `ha_counter.py CLUSTER_TOML NODE STATE_DIR KEY_FILE`.

One is started on each host, with the same cluster.toml and the same key. The counter runs on
exactly one of them: when its host dies, it goes on where it was, on another.
"""

import sys
import threading

import quorate


class Counter(quorate.Resource):
    """Counts in a file on the group's LUN, ten times a second."""

    def __init__(self, node: quorate.Node) -> None:
        self.node, self.over, self.thread = node, threading.Event(), threading.Thread()

    def start(self, request: quorate.Request) -> None:
        self.over.clear()
        self.thread = threading.Thread(target=self.count, args=(request,))
        self.thread.start()

    def kill(self, request: quorate.Request) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()

    def count(self, request: quorate.Request) -> None:
        file = request.luns[0].path / "count"
        try:
            count = int(file.read_text()) if file.exists() else 0
            while not self.over.wait(0.1):
                count += 1
                file.with_suffix(".next").write_text(str(count))
                file.with_suffix(".next").replace(file)
        except OSError as error:
            self.node.report(request.resource, request.epoch, str(error))


def main(cluster_toml: str, node_name: str, state_dir: str, key_file: str) -> None:
    config = quorate.Config.from_file(cluster_toml)
    key = quorate.ClusterKey.from_file(key_file)
    with quorate.Node(config, node_name, state_dir, key) as node:
        node.serve("counter", Counter(node))
        try:
            for notice in node.notices():
                print(notice.kind, notice, flush=True)
        except KeyboardInterrupt:
            print("leaving", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except quorate.Error as error:
        sys.exit(f"ha_counter: {error}")
