"""The reading of `errors/*.toml`, to the last key.

What is wrong in a file is said when it is read, with the file, the entry, the key, what was found and what is
allowed, so that nobody meets a half-working catalogue in the night it is needed.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from app.catalogue.entry import CODE, READERS, REQUIRED, UNCATALOGUED, CatalogueError, Entry, texts
from app.catalogue.text import normal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ABOUT = "about"  # no entry: how a text shows which system it speaks of
WORDS = "words"  # no entry: groups of words that the entries after it in the file name as "@name"


@dataclass(frozen=True, slots=True)
class Folder:
    """What one folder of catalogue files says.

    `fields` by code, the file of each, and by kind the patterns that name a system, each with its file.
    """

    fields: dict[str, dict[str, Any]]
    files: dict[str, Path]
    names: dict[str, tuple[tuple[Path, str], ...]]


def wrong(file: Path, where: str, found: object, allowed: str) -> NoReturn:
    """Refuse a file.

    Raises:
        CatalogueError: always.

    """
    msg = f"{file}: {where}: found {found!r}; allowed: {allowed}"
    raise CatalogueError(msg)


def read_folder(folder: Path, *, compile_patterns: bool) -> Folder:
    """Read every `*.toml` of a folder, by name; a missing folder says nothing.

    `compile_patterns` also tries every regular expression; left out for the files that ship with the package,
    whose patterns the tests try, because start time matters.

    Raises:
        CatalogueError: something in one of the files is not as it must be.

    """
    read = Folder({}, {}, {})
    for file in sorted(folder.glob("*.toml")):
        groups: dict[str, object] = {}
        for code, table in _tables(file):
            if code == WORDS:
                groups = table
            elif code == ABOUT:
                for kind, patterns in _names(file, table).items():
                    read.names[kind] = (*read.names.get(kind, ()), *((file, one) for one in patterns))
            elif code in read.fields:
                wrong(file, f'entry "{code}"', "a second one", f"one entry a code, the first is in {read.files[code]}")
            else:
                read.fields[code] = _fields(file, code, table, groups)
                read.files[code] = file
    if compile_patterns:
        _try_patterns(read)
    return read


def _tables(file: Path) -> Iterator[tuple[str, dict[str, object]]]:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        wrong(file, "the file", type(exc).__name__, "a file that can be read, in UTF-8")
    except tomllib.TOMLDecodeError as exc:
        wrong(file, "the file", str(exc), "TOML")
    for code, table in content.items():
        if code not in (ABOUT, WORDS, UNCATALOGUED) and not CODE.fullmatch(code):
            wrong(file, f'entry "{code}"', code, 'a code as "azure_table.server-busy", in quotes')
        if not isinstance(table, dict):
            wrong(file, f'entry "{code}"', table, "a table")
        yield code, table


def _names(file: Path, table: dict[str, object]) -> dict[str, tuple[str, ...]]:
    return {
        kind: texts(patterns) or wrong(file, f"about.{kind}", patterns, "a list of regular expressions")
        for kind, patterns in table.items()
    }


def _fields(file: Path, code: str, table: dict[str, object], groups: dict[str, object]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in table.items():
        if key not in READERS:
            wrong(file, f'entry "{code}", key "{key}"', value, "only the keys " + ", ".join(READERS))
        read, allowed = READERS[key]
        fields[key] = read(_spelled_out(value, groups) if key == WORDS else value)
        if fields[key] is None:
            wrong(file, f'entry "{code}", key "{key}"', value, allowed)
    return fields


def _spelled_out(value: object, groups: dict[str, object]) -> object:
    """Put groups where their names stand, alone or between bars; an unknown name gives what the reader refuses."""
    if isinstance(value, list):
        return [_spelled_out(one, groups) for one in value]
    if not isinstance(value, str) or "@" not in value:
        return value
    return "|".join(str(groups.get(one[1:], "")) if one.startswith("@") else one for one in value.split("|"))


def _try_patterns(read: Folder) -> None:
    for code, fields in read.fields.items():
        for pattern in fields.get("patterns", ()):
            compiled(pattern, file=read.files[code], where=f'entry "{code}", key "patterns"')
    for kind, patterns in read.names.items():
        for file, pattern in patterns:
            compiled(pattern, file=file, where=f"about.{kind}")


def compiled(pattern: str, *, file: Path, where: str) -> re.Pattern[str]:
    """Compile a pattern of a file.

    Raises:
        CatalogueError: it is no regular expression.

    """
    try:
        return re.compile(pattern)
    except re.error as exc:
        wrong(file, where, pattern, f"a regular expression ({exc})")


def make_entry(file: Path, code: str, fields: dict[str, Any]) -> Entry:
    """Make the entry of all that the folders say about it.

    Raises:
        CatalogueError: a required key is nowhere.

    """
    missing = [key for key in REQUIRED if key not in fields]
    if missing:
        wrong(file, f'entry "{code}"', f"no {missing[0]}", f"every entry has {', '.join(REQUIRED)}")
    return Entry(code=code, **fields)


def index_claims(entries: Iterable[Entry], files: dict[str, Path]) -> dict[str, list[Entry]]:
    """Index the entries by every code they claim, in normal form.

    Raises:
        CatalogueError: two entries of one kind claim the same code or status, or nobody claims what one refines.

    """
    claims: dict[str, list[Entry]] = defaultdict(list)
    holders: dict[tuple[str, str | int], str] = {}
    for entry in entries:
        claimed: tuple[str | int, ...] = (*entry.claims, *entry.statuses)
        for claim in claimed:
            key = (entry.kind, normal(claim) if isinstance(claim, str) else claim)
            if key in holders:
                allowed = f"codes and statuses that {holders[key]} doesn't claim"
                wrong(files[entry.code], f'entry "{entry.code}"', claim, allowed)
            holders[key] = entry.code
        for code in entry.claims:
            claims[normal(code)].append(entry)
    for entry in entries:
        for code in entry.refines:
            if (entry.kind, normal(code)) not in holders:
                wrong(files[entry.code], f'entry "{entry.code}", key "refines"', code, "codes that a sibling claims")
    return dict(claims)
