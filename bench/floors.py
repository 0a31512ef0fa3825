"""What each part of the way in costs: the same load with that part taken out."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bench.accept import warmed
from bench.rows import Figure, Found, Question
from bench.servers import FOUR_FILES, empty_route, folder, leads, leadwire, reference
from tests.parts.server import KEY, Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Load

ROUNDS = 3
EMPTY, NOTHING, UNKEPT, ALONE, WHOLE = (
    "empty Flask route",
    "our server, which answers at once",
    "… reads, routes and seals each lead, keeps none",
    "… keeps each, sorts none in (--no-worker)",
    "Leadwire",
)
QUESTIONS = {
    "floor-nothing": Question(asks="Leads a second, nothing done with them", reference="an empty Flask route"),
    "floor-unkept": Question(asks="  read, routed, sealed, but not kept", reference="the same"),
    "floor-alone": Question(asks="  kept, but not sorted in nor delivered", reference="the same"),
    "floor-whole": Question(asks="  everything", reference="the same"),
}


def measure() -> Iterator[Found]:
    """Load each in turn."""
    took: dict[str, list[Load]] = {name: [] for name in (EMPTY, NOTHING, UNKEPT, ALONE, WHOLE)}
    for _ in range(ROUNDS):
        with ExitStack() as stack:
            took[EMPTY].append(warmed(stack.enter_context(empty_route())))
        for name, kind in ((NOTHING, "nothing"), (UNKEPT, "unkept")):
            with floor(kind) as address:
                took[name].append(warmed(address))
        for name, arguments in ((ALONE, ("--no-worker",)), (WHOLE, ())):
            with leadwire(FOUR_FILES, *arguments) as server:
                took[name].append(warmed(leads(server)))
    rates = {name: [one.rate for one in loads] for name, loads in took.items()}
    bars = {name: Figure.of(values) for name, values in rates.items()}
    for key, name in (("nothing", NOTHING), ("unkept", UNKEPT), ("alone", ALONE), ("whole", WHOLE)):
        figure = Figure.paired(rates[name], rates[EMPTY])
        yield Found(key=f"floor-{key}", figure=figure, bars=bars if name == WHOLE else {}, unit="leads/s")


@contextmanager
def floor(kind: str) -> Iterator[str]:
    """Run the way in with something taken out; gives its address."""
    with folder() as made:
        settings, port = Server(made, more=FOUR_FILES), free_port()
        variables = [f"{name}={settings.environment[name]}" for name in ("LEADWIRE_CONFIG", "LEADWIRE_TEST_KEY")]
        command = ["env", *variables, sys.executable, "-m", "bench.floor", str(port), kind]
        with reference(command, f"http://127.0.0.1:{port}/leads?code={KEY}") as address:
            yield address
