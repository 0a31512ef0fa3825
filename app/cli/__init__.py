"""The command line: the same verbs as everything else that people use, plus serving."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import click

from app import __version__
from app.cli import access, acting, looking, overview, repairing, serving, testing
from app.log import configure_logging
from app.wiring import Wiring


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
        return Wiring.from_file(self.config)

    @cached_property
    def ready(self) -> Wiring:
        """The same with the store's schema brought up to date."""
        self.wiring.store.migrate()
        return self.wiring


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--config", metavar="FILE", help="The configuration file [env: LEADWIRE_CONFIG; config/leadwire.toml].")
@click.version_option(__version__, prog_name="leadwire")
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """Receive marketplace leads, keep them safe, deliver each one once."""
    configure_logging(to_stderr=True)  # a command's standard output is its answer; `serve` and `work` have no other
    ctx.obj = Context(config)


for module in (serving, testing, overview, looking, acting, repairing, access):
    for command in module.COMMANDS:
        main.add_command(command)
