"""Secrets: where they live, how they are fetched and made, and that they can't be shown by accident."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields

KEY_BYTES = 32


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

    @property
    def fingerprint(self) -> str:
        """Give what a key may be known by: the beginning of its hash."""
        return sha256(self._text.encode("utf-8", "replace")).hexdigest()[:12]

    def __repr__(self) -> str:
        return f"<secret {self.reference}>"


def read_secret(reference: object) -> Secret:
    """Fetch the secret that `env:NAME` or `file:/path` points at.

    Raises:
        ValidationError: the reference is a literal, or nothing is there. The message never repeats the value.

    """
    kind, _, where = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if kind == "env" and where:
        text, missing = os.environ.get(where, ""), f"the environment variable {where} is not set or empty"
    elif kind == "file" and where:
        text, missing = _from_file(where)
    else:
        msg = 'a secret is never written here: give "env:NAME" or "file:/path"'
        raise ValidationError(msg)
    if not text:
        raise ValidationError(missing)
    return Secret(text, reference=f"{kind}:{where}")


def _from_file(where: str) -> tuple[str, str]:
    """Give a file's text without white space around it, and what to say if that is nothing."""
    try:
        # Windows' editors begin a text with a byte order mark, which is no part of the secret.
        return Path(where).read_text("utf-8-sig").strip(), f"the file {where} is empty"
    except (OSError, ValueError) as exc:  # ValueError: not UTF-8, or a NUL in the path
        hint = ' ("~" is not expanded: write the whole path)' if where.startswith("~") else ""
        return "", f"the file {where} can't be read: {getattr(exc, 'strerror', None) or type(exc).__name__}{hint}"


class SecretField(fields.Field[Secret]):
    """A setting whose value is `env:NAME` or `file:/path`; loads to a `Secret`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:  # noqa: ANN401
        del attr, data, kwargs
        return read_secret(value)


class MasterKeyField(SecretField):
    """A master key: `env:NAME` or `file:/path` with 32 bytes in base64, or `keyvault:` and a key's address."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:  # noqa: ANN401
        if isinstance(value, str) and value.startswith("keyvault:"):
            address = value.removeprefix("keyvault:")
            if not _VAULT_KEY.fullmatch(address):
                msg = 'allowed: "keyvault:https://NAME.vault.azure.net/keys/KEY", with /VERSION behind it or without'
                raise ValidationError(msg)
            return Secret(address, reference=value)
        secret = super()._deserialize(value, attr, data, **kwargs)
        if decode_key(secret.reveal()) is None:
            msg = f"what {secret.reference} holds is no key: 32 bytes in base64, as `leadwire keys new` prints them"
            raise ValidationError(msg)
        return secret


# A name, a version of 32 hexadecimal digits: https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates
_VAULT_KEY = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/keys/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?")


def decode_key(text: str) -> bytes | None:
    """Give the 32 bytes of a key in base64, either alphabet, with padding or without; None of anything else."""
    plain = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def new_key() -> str:
    """Make a fresh key: 32 random bytes, safe in a URL."""
    return secrets.token_urlsafe(KEY_BYTES)


def write_secret(path: Path, text: str) -> None:
    """Write a secret that only the owner may read; refuses to replace an existing file (FileExistsError)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)  # the address with this key in it is pasted elsewhere in the next minute


class ReferenceField(fields.String):
    """A text that may also be given as `env:NAME` or `file:/path`, for what is no secret but differs by machine."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401
        if isinstance(value, str) and value.startswith(("env:", "file:")):
            value = read_secret(value).reveal()
        return super()._deserialize(value, attr, data, **kwargs)
