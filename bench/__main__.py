"""`make bench`: each question's figure beside its reference, taken in turn on this machine.

    python -m bench                   everything, meant for eight minutes on two cores
    python -m bench accept growth     only these; the others keep what `results.json` has of them
    python -m bench soak              ten minutes at full load

Ends with 1 if something went wrong; a figure that is not where it should be is an answer like any other.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import TYPE_CHECKING

from bench import charts, page, plan, results
from bench.questions import MODULES, ON_DEMAND, module
from bench.rows import HEADINGS, MissingError, line, not_measured, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.questions import Asked
    from bench.rows import Found, Question


def main(names: list[str]) -> int:
    """Measure what is named (nothing: everything) and print the table; gives how many modules failed."""
    unknown = set(names) - {*MODULES, *ON_DEMAND}
    if unknown:
        sys.exit(f"bench: {', '.join(sorted(unknown))}: there is only {', '.join((*MODULES, *ON_DEMAND))}")
    os.chdir(results.ROOT)
    print(written(HEADINGS), flush=True)
    begun = time.monotonic()
    took, failed = {}, 0
    for name in names or MODULES:
        failed += not answer(module(name), tell)
        took[name] = time.monotonic() - begun - sum(took.values())
    page.renew()
    plan.renew()
    print(f"{results.FILE.relative_to(results.ROOT)}, charts in {charts.FOLDER.relative_to(results.ROOT)}; ", end="")
    print(f"{sum(took.values()):.0f} s: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in took.items()))
    return failed


def answer(asked: Asked, tell: Callable[[Question, Found], None]) -> bool:
    """Ask one module its questions and tell each answer; one that can't be had here is told too. False: it failed."""
    open_ = dict(asked.QUESTIONS)
    worked, why = True, "its module did not answer it"
    try:
        for found in asked.measure():
            tell(open_.pop(found.key), found)
    except MissingError as exc:
        why = str(exc)
    except Exception:  # noqa: BLE001  (the other questions can be answered all the same)
        traceback.print_exc()
        worked, why = False, "it failed, see above"
    for key, question in open_.items():
        tell(question, not_measured(key, why))
    return worked


def tell(question: Question, found: Found) -> None:
    """Print an answer, keep it, and draw it."""
    print(written(line(question, found)), flush=True)
    results.keep(question, found)
    charts.draw(question, found)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
