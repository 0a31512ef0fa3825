"""What a fresh machine lacks: the keys and the console password that the configuration names and nobody made yet."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.settings.defaults import DEFAULT_STORE, with_defaults
from app.settings.load import read_document
from app.settings.secret import new_key, write_secret

if TYPE_CHECKING:
    from collections.abc import Iterator


def issue_secrets(path: Path | None) -> list[Path]:
    """On the very first start, make the keys and the console password that `file:` names and that don't exist yet.

    Only while the SQLite store does not exist: later a missing key file is a mistake (a lost mount, say), and a new
    key made in its place would turn every lead away. Files are made with mode 0600; gives their paths. What is wrong
    in the file is passed over here: `load_settings` says it.

    Raises:
        ConfigError: the file can't be read or is not TOML.

    """
    document = with_defaults(read_document(path))
    url = str(_table(document, "store").get("url", DEFAULT_STORE))
    if not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists():
        return []
    made = []
    for target in _named_files(document):
        # Two processes that start at once: the one that came second uses what the first made.
        with contextlib.suppress(FileExistsError):
            write_secret(target, new_key())
            made.append(target)
    return made


def _named_files(document: dict[str, Any]) -> Iterator[Path]:
    references: list[object] = []
    for name in _table(document, "sources"):
        keys = _table(document["sources"], name).get("keys")
        references += keys if isinstance(keys, list) else []
    references.append(_table(document, "console").get("password"))
    for reference in references:
        if isinstance(reference, str) and reference.startswith("file:") and "\0" not in reference:
            target = Path(reference.removeprefix("file:"))
            if not target.exists():
                yield target


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
