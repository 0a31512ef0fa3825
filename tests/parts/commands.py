"""The commands of the command line, which loads them when they are looked for."""

import click

from app.cli import main


def commands() -> dict[str, click.Command]:
    context = click.Context(main)
    return {name: main.get_command(context, name) for name in main.list_commands(context)}
