"""What is wrong with a configuration, said so that a person can mend it and no secret is shown."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from marshmallow import fields

from app.settings.secret import SecretField

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from marshmallow import Schema, ValidationError

LONGEST_SHOWN = 80
ALLOWED = {  # where the field has no words of its own
    "Invalid input type.": "a table",
    "Not a valid mapping type.": "a table",
    "Not a valid list.": "a list",
    "Not a valid string.": "a text",
}
Keys = tuple[Any, ...]  # from the root: names of tables and settings, indexes in lists


class ConfigError(Exception):
    """The configuration can't be used; the message says which file and key, what was found, what is allowed."""


def config_error(
    path: Path | None, exc: ValidationError, document: Mapping[str, Any], schema: Schema, *, under: Keys = ()
) -> ConfigError:
    """Say each fault of a validation as `file: [section] key: found …; allowed: …`; secrets' values are never said.

    `under` is where in the file `document` stands.
    """
    where = str(path) if path else "the built-in defaults"
    found = _flatten(exc.normalized_messages())  # type: ignore[no-untyped-call]
    return ConfigError(
        "\n".join(f"{where}: {_fault(keys, message, document, schema, under=under)}" for keys, message in found)
    )


def _flatten(messages: Any, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:  # noqa: ANN401  (marshmallow's tree)
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flatten(inner, keys if key in ("value", "_schema") else (*keys, key))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield keys, str(text)


def _fault(keys: Keys, message: str, document: Any, schema: Schema, *, under: Keys) -> str:  # noqa: ANN401
    # How marshmallow says that the name itself is wrong; unless a table has a setting that is called so.
    if len(keys) > 1 and keys[-1] == "key" and _found(document, keys) is None:
        return f"{_name((*under, *keys[:-1]))}: found this name; {message}"
    name = _name((*under, *keys))
    level, one = _field_at(schema, keys)
    if one is None and level is not None:
        return f"{name}: unknown setting{_near(keys, level)}; allowed here: {', '.join(_names(level))}"
    if isinstance(one, SecretField):
        ours = keys[0] in ("sources", "console") and "No such file" in message
        return f"{name}: {message}" + (
            " (`leadwire serve` makes it on the first start; after that, restore it)" if ours else ""
        )
    allowed = (one.metadata.get("allowed") if one is not None else None) or ALLOWED.get(message)
    says = f"allowed: {allowed}" if allowed and not message.startswith("allowed") else _plain(message)
    found = _found(document, keys)
    return f"{name}: missing; {says}" if found is None else f"{name}: found {_shown(found, one)}; {says}"


def _plain(message: str) -> str:
    """Say in our words what marshmallow says in its own."""
    return message.replace("Missing data for required field.", "it has to be given").replace(
        "Must be one of", "allowed"
    )


def _name(keys: Keys) -> str:
    """Write keys as the file does: `[section] key`, entries of a list as `#1`, `#2` and so on."""
    words: list[str] = []
    for key in keys:
        if isinstance(key, int) and words:
            words[-1] += f" #{key + 1}"
        else:
            words.append(str(key))
    return f"[{'.'.join(words[:-1])}] {words[-1]}" if len(words) > 1 else "".join(words)


def _names(level: Schema) -> list[str]:
    return [field.data_key or key for key, field in level.fields.items()]


def _near(keys: Keys, level: Schema) -> str:
    near = difflib.get_close_matches(str(keys[-1]), _names(level), n=1) if keys else []
    return f" (did you mean {near[0]}?)" if near else ""


def _found(document: Any, keys: Keys) -> Any:  # noqa: ANN401  (any TOML value)
    found = document
    for key in keys:
        inside = key in found if isinstance(found, dict) else isinstance(found, list) and key in range(len(found))
        if not inside:
            return None
        found = found[key]
    return found


def _shown(found: object, one: fields.Field[Any] | None) -> str:
    """Show a value as far as no secret can be in it: where a table belongs, its kind only."""
    if isinstance(found, dict):
        return "a table"
    if one is not None and one.metadata.get("hidden"):  # people put the secret itself there
        return "something else"
    if isinstance(one, fields.List) and isinstance(one.inner, SecretField):
        return "an empty list" if found == [] else "something else"
    if isinstance(one, fields.Nested | fields.Dict) or one is None:
        return "a list" if isinstance(found, list) else "a text" if isinstance(found, str) else repr(found)
    if isinstance(found, list) and any(isinstance(entry, dict | list) for entry in found):
        return "a list with tables or lists in it"
    # What stands before the last @ of a URL is who signs in, and with what; a query can hold a password, too.
    text = re.sub(r"(://)[^'\"\s]*@", r"\1***@", repr(found))
    text = re.sub(r"(?i)((?:password|secret|key|token)=)[^&;'\"\s]*", r"\1***", text)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _field_at(schema: Schema, keys: Keys) -> tuple[Schema | None, fields.Field[Any] | None]:
    """The schema level that the last key stands in, and its field there, None where the key is unknown."""
    level: Schema | None = schema
    one: fields.Field[Any] | None = None
    for key in keys:
        if isinstance(one, fields.Dict | fields.List):
            one = one.value_field if isinstance(one, fields.Dict) else one.inner
        elif level is not None:
            one = next((field for name, field in level.fields.items() if key in (name, field.data_key)), None)
            if one is None:
                return level, None
        level = one.schema if isinstance(one, fields.Nested) else None
    return level, one
