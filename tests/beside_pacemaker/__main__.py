"""quorate's engine beside Pacemaker's scheduler, on random small clusters.

    python3 tests/beside_pacemaker --quorate target/debug/quorate [--seed N] [--clusters N] [--level single|pairs|all]

Each cluster is a snapshot in the scenario format. `quorate simulate` lives through it, `crm_simulate` is given it as a
CIB, and what comes of it is compared: what runs and what does not, who is fenced, who is left alone; and where
something runs, unless another node is as good by Pacemaker's own scores. `--keep DIR` writes what differs there.
"""

import argparse
import collections
import concurrent.futures
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import clusters
import compare
import pacemaker

BATCH = 50


def main():
    options = arguments()
    scenarios = list(made_up(options))
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        batches = [scenarios[at : at + BATCH] for at in range(0, len(scenarios), BATCH)]
        ours = pool.map(lambda batch: quorate(options.quorate, pathlib.Path(folder), batch), batches)
        theirs = pool.map(pacemaker.decides, scenarios)
        answers = [answer for batch in ours for answer in batch]
        told = list(zip(scenarios, answers, theirs))
    differ, kinds, reasons = 0, collections.Counter(), collections.Counter()
    for scenario, answer, decided in told:
        found, agreed = compare.differences(scenario, answer, decided)
        differ += bool(found)
        kinds.update({kind for kind, _ in found})
        reasons.update({} if found else {reason for reason, _ in agreed})
        for kind, what in found:
            print(f"{scenario['id']}: {kind}: {what}")
        if found and options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{scenario['id']}.json").write_text(json.dumps(scenario, indent=1))
    print(f"{len(scenarios)} clusters, {differ} differ" + counted(kinds))
    for reason, count in sorted(reasons.items()):
        print(f"  and {count} as agreed: {compare.AGREED[reason]}")
    return 1 if differ else 0


def counted(kinds):
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    return f" ({told})" if told else ""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quorate", default="target/debug/quorate", help="the command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clusters", type=int, default=500, help="how many")
    parser.add_argument("--level", choices=("single", "pairs", "all"), default="all", help="features in one cluster")
    parser.add_argument("--features", help="these and no others, with commas")
    parser.add_argument("--without", default="", help="none of these, with commas")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the scenarios that differ")
    parser.add_argument("--files", nargs="*", type=pathlib.Path, help="scenarios, in place of random ones")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def made_up(options):
    if options.files:
        for file in options.files:
            yield json.loads(file.read_text())
        return
    without = set(options.without.split(",")) - {""}
    features = [one for one in clusters.FEATURES if one not in without]
    if options.features:
        chosen = [set(options.features.split(","))]
    elif options.level == "single":
        chosen = [{one} for one in features]
    elif options.level == "pairs":
        chosen = [set(pair) for pair in itertools.combinations(features, 2)]
        random.Random(options.seed).shuffle(chosen)
    else:
        chosen = None
    for number in range(options.clusters):
        seed = options.seed * 1_000_000 + number
        if chosen is None:
            rng = random.Random(seed)
            some = set(rng.sample(features, rng.randint(3, 10)))
        else:
            some = chosen[number % len(chosen)]
        yield clusters.cluster(seed, clusters.with_needs(some) - without)


def quorate(command, folder, batch):
    """What our engine makes of these scenarios."""
    files = []
    for scenario in batch:
        file = folder / f"{scenario['id'][:80]}.json"
        file.write_text(json.dumps(scenario))
        files.append(str(file))
    run = subprocess.run([command, "simulate", *files], capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    if len(answers) != len(batch):
        sys.exit(f"{command}: {run.stderr}")
    return answers


if __name__ == "__main__":
    sys.exit(main())
