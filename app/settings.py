"""The configuration file: read, checked to the last key, secrets fetched from where they live.

A setting that is unknown or wrong refuses to start with a `ConfigError` that names the file, the key, what
was found and what is allowed. Secrets never stand in the file: `env:NAME` or `file:/path` says where they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields


class ConfigError(Exception):
    """The configuration can't be used; the message says which file and key, what was found, what is allowed."""


class Secret:
    """A secret that can't be printed by accident; `reveal()` gives the text."""

    __slots__ = ("_text", "reference")

    def __init__(self, text: str, *, reference: str = "") -> None:
        """Keep `text`; `reference` ("env:NAME", "file:/path") is what may be shown."""
        self._text = text
        self.reference = reference

    def reveal(self) -> str:
        """Give the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return f"<secret {self.reference}>"


def read_secret(reference: object) -> Secret:
    """Fetch the secret that `env:NAME` or `file:/path` points at.

    Raises:
        ValidationError: the reference is a literal, or nothing is there. The message never repeats the value.

    """
    kind, _, where = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if kind == "env" and where:
        text = os.environ.get(where, "")
        missing = f"the environment variable {where} is not set or empty"
    elif kind == "file" and where:
        path = Path(where)
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            text, missing = "", f"the file {path} can't be read ({type(exc).__name__})"
        else:
            missing = f"the file {path} is empty"
    else:
        msg = 'a secret is never written here: give "env:NAME" or "file:/path"'
        raise ValidationError(msg)
    if not text:
        raise ValidationError(missing)
    return Secret(text, reference=f"{kind}:{where}")


class SecretField(fields.Field[Secret]):
    """A setting whose value is `env:NAME` or `file:/path`; loads to a `Secret`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:  # noqa: ANN401
        del attr, data, kwargs
        return read_secret(value)
