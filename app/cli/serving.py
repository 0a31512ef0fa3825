"""`serve` and `work`: running it.

Nothing slow is imported here, so that the receivers, who have the longest way to go, begin before everything else.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import click

from app.processes import RECEIVERS, begin, leave_no_core

if TYPE_CHECKING:
    from app.cli import Context

_json = click.option("--json", "json_", is_flag=True, help="Say in JSON, as the log is, what keeps it from starting.")


@click.command()
@click.option("--no-worker", is_flag=True, help="Only receive; deliver with `leadwire work`, on any host.")
@click.option(
    "--bind", metavar="HOST:PORT", help="Listen here instead of [server] bind (containers need 0.0.0.0:8080)."
)
@_json
@click.pass_obj
def serve(obj: Context, *, no_worker: bool, bind: str | None, json_: bool) -> None:
    """Receive leads and deliver them: receivers and worker in one process group."""
    if obj.config is not None:
        os.environ["LEADWIRE_CONFIG"] = obj.config  # the children read it themselves
    receivers = begin(RECEIVERS)
    leave_no_core()
    gc.disable()  # until the server runs: what is loaded now stays
    from app.cli import starting  # noqa: PLC0415  (loaded while they load)

    starting.serve(obj, receivers, bind=bind, with_worker=not no_worker, json_=json_)


@click.command()
@_json
@click.pass_obj
def work(obj: Context, *, json_: bool) -> None:
    """Deliver leads, without receiving any; any number of these on PostgreSQL."""
    from app.cli import starting  # noqa: PLC0415  (as above)

    starting.work(obj, json_=json_)


COMMANDS = [serve, work]
