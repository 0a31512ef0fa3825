"""Run the scenes, say what came of each, keep it, and renew the table in docs/reliability.md.

    python -m tests.faults                          every scene on both databases
    python -m tests.faults crashes --store sqlite   one scene on one database
    python -m tests.faults --full                   at least 500 deaths and 200,000 leads on each database
    python -m tests.faults --seed 7                 in the order of an earlier run

Ends with 1 unless book, store and destinations agree everywhere.
"""

# ruff: noqa: T201  (it speaks to a person)

from __future__ import annotations

import argparse
import random
import sys
import traceback

from tests.faults import results
from tests.faults.scene import Report, Wanted
from tests.faults.scenes import SCENES


def main(arguments: list[str]) -> int:
    """Run what is asked for; gives how many scenes went wrong."""
    asked = _asked(arguments)
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}: `make faults SEED={seed}` repeats it", flush=True)
    wrong = 0
    for name, scene in SCENES.items():
        for database in scene.databases:
            if name in (asked.scenes or SCENES) and database in (asked.store or scene.databases):
                size = scene.full if asked.full else scene.usual
                wanted = Wanted(database=database, seed=seed, leads=size.leads, kills=size.kills, seconds=size.seconds)
                wrong += not _ran(name, wanted, keep=not asked.forget)
    if not asked.forget:
        results.renew()
    return wrong


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"of {', '.join(SCENES)}; nothing: all")
    parser.add_argument("--store", action="append", choices=("sqlite", "postgresql"), help="nothing: both")
    parser.add_argument("--seed", type=int, help="nothing: any")
    parser.add_argument("--full", action="store_true", help="as long as docs/reliability.md says")
    parser.add_argument("--forget", action="store_true", help="don't keep the results")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.scenes) - SCENES.keys():
        parser.error(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}")
    return asked


def _ran(name: str, wanted: Wanted, *, keep: bool) -> bool:
    try:
        report = SCENES[name].run(wanted)
    except Exception:  # noqa: BLE001  (the other scenes can be run all the same)
        traceback.print_exc()
        report = Report(scene=name, database=wanted.database, seed=wanted.seed, wrong=["it failed, see above"])
    print(results.line(report), flush=True)
    for wrong in report.wrong:
        print(f"  {wrong}", flush=True)
    if keep:
        results.keep(report)
    return not report.wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
