"""`tokens`, `hash-password`: who may come in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from app.access import OPERATOR, READER, hash_password
from app.cli.output import as_json, fail, say, table, who

if TYPE_CHECKING:
    from app.cli import Context


@click.group(invoke_without_command=True)
@click.option("--json", "json_", is_flag=True, help="Answer in JSON.")
@click.pass_context
def tokens(ctx: click.Context, *, json_: bool) -> None:
    """List the tokens of /api/v1, make one, revoke one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, json_=json_)
    ctx.default_map = {name: {"json_": json_} for name in tokens.commands}


@tokens.command(name="list")
@click.pass_obj
@as_json
def list_(obj: Context, *, json_: bool) -> None:
    """List the tokens, without their texts."""
    found = obj.ready.operations.tokens()
    columns = ("id", "name", "role", "created_at", "created_by", "last_used_at", "revoked_at")
    say(found, table(found, columns, empty="There is no token yet."), json_=json_)


@tokens.command()
@click.argument("name")
@click.option("--role", type=click.Choice([READER, OPERATOR]), default=READER, show_default=True)
@click.pass_obj
@as_json
def new(obj: Context, *, name: str, role: str, json_: bool) -> None:
    """Make a token called NAME and print it: it is kept nowhere."""
    id_, text = obj.ready.operations.new_token(name, role, who=who())
    say({"id": id_, "name": name, "role": role, "token": text}, text, json_=json_)


@tokens.command()
@click.argument("id_", metavar="ID")
@click.pass_obj
@as_json
def revoke(obj: Context, *, id_: str, json_: bool) -> None:
    """End a token: whatever uses it is refused at once."""
    obj.ready.operations.revoke_token(id_, who=who())
    say({"ok": True, "id": id_}, f"Token {id_} is revoked.", json_=json_)


@click.command(name="hash-password")
@as_json
def hash_(*, json_: bool) -> None:
    """Turn a password into what `[console] password` may hold in its place (asked for, or from standard input)."""
    typed = sys.stdin.isatty()
    text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True) if typed else sys.stdin.read()
    if not text.strip():  # its hash would let everybody in
        fail("That is no password: it is empty.", json_=json_)
    made = hash_password(text.strip())
    say({"hash": made}, made, json_=json_)


COMMANDS = [tokens, hash_]
