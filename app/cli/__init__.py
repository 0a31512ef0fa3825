"""The command line: the same verbs as everything else that people use, plus serving."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import click

from app import __version__
from app.processes import leave_no_core

if TYPE_CHECKING:
    from app.wiring import Wiring

# Looked through in this order and no further than needed: `serve` is found in the first, and waits for no other.
MODULES = (
    "serving",
    "checking",
    "testing",
    "overview",
    "looking",
    "acting",
    "forgetting",
    "repairing",
    "access",
    "reconciling",
    "copying",
    "encryption",
)

LOGGING = ("serve", "work")  # their standard output is the log, and they see to it themselves


@dataclass
class Context:
    """What every command gets: the configuration's path as given, and the wiring once it is needed."""

    config: str | None

    @cached_property
    def wiring(self) -> Wiring:
        """Everything, the store not yet touched.

        Raises:
            ConfigError: what is wrong, file and key named.

        """
        from app.wiring import Wiring  # noqa: PLC0415  (`--help` needs none of it)

        return Wiring.from_file(self.config)

    @cached_property
    def ready(self) -> Wiring:
        """The same with the store's schema brought up to date."""
        self.wiring.store.migrate()
        return self.wiring


class Commands(click.Group):
    """The commands of `MODULES`, each module imported when one of its commands is looked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all."""
        for module in MODULES:
            self._load(module)
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find one."""
        for module in MODULES:
            if cmd_name in self.commands:
                break
            self._load(module)
        return super().get_command(ctx, cmd_name)

    def _load(self, module: str) -> None:
        for command in import_module(f"app.cli.{module}").COMMANDS:
            self.add_command(command)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--config", metavar="FILE", help="The configuration file [env: LEADWIRE_CONFIG; config/leadwire.toml].")
@click.version_option(__version__, prog_name="leadwire")
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """Receive marketplace leads, keep them safe, deliver each one once."""
    if ctx.invoked_subcommand != "serve":  # which begins the receivers first
        leave_no_core()
    if ctx.invoked_subcommand not in LOGGING:
        from app.log import configure_logging  # noqa: PLC0415  (`serve` begins with something else)

        configure_logging(to_stderr=True)  # a command's standard output is its answer
    ctx.obj = Context(config)
