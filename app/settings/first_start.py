"""What a fresh machine lacks: the keys and the console password that the configuration names and nobody made yet."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from app.settings.defaults import DEFAULT_STORE, with_defaults
from app.settings.faults import ConfigError
from app.settings.load import read_document
from app.settings.secret import Secret, new_key, read_secret, write_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def issue_secrets(path: Path | None, *, is_fresh: Callable[[str, Secret | None], bool]) -> list[Path]:
    """Make the secrets of ours that `file:` names and that don't exist yet; gives the files made, mode 0600.

    Sources' keys only while the store has taken nothing yet (`is_fresh`, asked with its URL and password): later a
    missing key file is a mistake (a lost mount, say), and a new key made in its place would turn every lead away.
    What is wrong in the configuration is passed over here: `load_settings` says it.

    Raises:
        ConfigError: the configuration can't be read or is not TOML, or a file can't be made.

    """
    document = with_defaults(read_document(path), first_start=True)
    keys = [key for name in _table(document, "sources") for key in _list(_table(document["sources"], name).get("keys"))]
    missing = _missing([_table(document, "console").get("password")])
    missing_keys = _missing(keys)
    if missing_keys and _is_fresh(document, is_fresh):
        missing = [*missing_keys, *missing]
    made = []
    for target in missing:
        # Two processes that start at once: the one that came second uses what the first made.
        with contextlib.suppress(FileExistsError):
            _make(target)
            made.append(target)
    return made


def _is_fresh(document: dict[str, Any], is_fresh: Callable[[str, Secret | None], bool]) -> bool:
    store = _table(document, "store")
    try:
        password = read_secret(store["password"]) if "password" in store else None
        return is_fresh(str(store.get("url", DEFAULT_STORE)), password)
    except (ValidationError, ValueError):  # a wrong [store]: it is said when the settings are loaded
        return False


def _make(target: Path) -> None:
    try:
        write_secret(target, new_key())
    except FileExistsError:
        raise
    except OSError as exc:
        msg = f"{target}: this file is missing and can't be made ({exc.strerror})"
        raise ConfigError(msg) from exc


def _missing(references: Iterable[object]) -> list[Path]:
    named = [one for one in references if isinstance(one, str) and one.startswith("file:") and "\0" not in one]
    targets = [Path(reference.removeprefix("file:")) for reference in named]
    return [target for target in dict.fromkeys(targets) if not target.exists()]


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
