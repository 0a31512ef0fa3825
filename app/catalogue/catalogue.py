"""What now: the error catalogue, from what a system said to cause, remedy and verdict.

`translate` answers for one failed attempt, where the destination's type is known; `explain` for a text that a
person pasted, where nothing is known and a wrong answer is worse than none.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from app.catalogue.entry import UNCATALOGUED, CatalogueError, Entry
from app.catalogue.files import compiled, index_claims, make_entry, read_folder
from app.catalogue.text import (
    Found,
    Reading,
    Weight,
    bare,
    normal,
    our_codes,
    plain,
    reply_class,
    system_codes,
    variants,
)
from app.retry import Verdict

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

__all__ = ["Catalogue", "CatalogueError", "Entry", "Explanation", "Verdict", "shipped_folder"]


_FOREIGN = "others"  # in `about`: systems that have nothing to do with ours
_Names: TypeAlias = "dict[str, tuple[tuple[Path, str], ...]]"  # by kind: a pattern and the file that gives it


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a text means: one `entry`; or none, with the `candidates` (two or more) that fit alike; or nothing."""

    entry: Entry | None = None
    candidates: list[Entry] = field(default_factory=list)


def shipped_folder() -> Path:
    """Give the folder of the entries that come with Leadwire: in the installed package, or in a source checkout."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "config" / "errors"
    return installed if installed.is_dir() else here.parent / "config" / "errors"


class Catalogue:
    """Every known error. Made once by `load`, unchanging, safe for several threads."""

    def __init__(self, entries: dict[str, Entry], files: dict[str, Path], names: _Names) -> None:
        """Take checked entries by code, the file that each last came from, and the names of systems by kind."""
        self._entries = entries
        self._files = files
        self._names = names
        self._claims = index_claims(entries.values(), files)
        self._kinds = frozenset(entry.kind for entry in entries.values())
        self._refiners: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries.values():
            for code in entry.refines:
                self._refiners[normal(code)].append(entry)

    @classmethod
    def load(cls, *folders: Path) -> Catalogue:
        """Read folders in order; what a later one says about a code goes over what an earlier one said, key by key.

        Raises:
            CatalogueError: a file is not as it must be, or `uncatalogued` is in none of them.

        """
        fields: dict[str, dict[str, object]] = defaultdict(dict)
        files: dict[str, Path] = {}
        names: _Names = {}
        for folder in folders:
            read = read_folder(folder, compile_patterns=folder.resolve() != shipped_folder())
            files |= read.files
            for code, given in read.fields.items():
                fields[code] |= given
            for kind, patterns in read.names.items():
                names[kind] = (*names.get(kind, ()), *patterns)
        if UNCATALOGUED not in fields:
            msg = f'no entry "{UNCATALOGUED}" in {", ".join(map(str, folders)) or "no folder"}'
            raise CatalogueError(msg)
        return cls({code: make_entry(files[code], code, given) for code, given in fields.items()}, files, names)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, code: object) -> bool:
        return code in self._entries

    def get(self, code: str) -> Entry:
        """Give the entry of a catalogue code, or the one for errors that nobody catalogued."""
        return self._entries.get(code) or self._entries[UNCATALOGUED]

    def translate(self, kind: str, *, code: str | None, status: int | None, detail: str) -> Entry:
        """Recognise one failed attempt of a destination of type `kind`.

        What the system said in structured form goes first, then its words, then the bare status; in each the
        type's own entries before those that several types share. Of an SMTP reply nobody catalogued the class counts,
        because its number means something else as a status of HTTP.
        """
        text = plain(detail)
        reading = Reading(text)
        return (
            self._by_code(kind, variants(code) if code else [], reading)
            or self._by_code(kind, self._codes_in(text), reading)
            or self._by_words(kind, reading)
            or self._by_code(kind, reply_class(code) if code else [], reading)
            or self._by_status(kind, status)
            or self._entries[UNCATALOGUED]
        )

    def explain(self, text: str) -> Explanation:
        """Recognise a pasted text: a sentence, a JSON body, a log line, in any language around a code.

        Only what proves the case counts: a code that other systems use as well needs a text that names ours.
        """
        text = plain(text)
        reading = Reading(text)
        ours = self._ours(text)
        told = ours or self._told_by_code(text, reading)
        if len(told) > 1 and not ours:
            told = [entry for entry in told if self._matches(entry, reading)] or told
        told = told or self._told_by_words(reading)
        return _settled(told or self._rivals(bare(text)))

    def _ours(self, text: str) -> list[Entry]:
        """Give the entries whose own code a text has.

        A line of our log has the code as it came beside it: where one is a claim of the other, it counts no more.
        """
        found = [self._entries[code] for code in our_codes(text) if code in self._entries]
        better = {normal(claim) for entry in found for claim in entry.claims}
        return [entry for entry in found if entry.code not in better]

    # How a failed attempt is recognised.

    def _by_code(self, kind: str, codes: list[str], reading: Reading) -> Entry | None:
        for code in codes:
            for entry in self._claims.get(code, ()):
                if entry.kind == kind:
                    return self._refined(entry, code, reading)
        for code in codes:
            if code in self._entries:
                return self._entries[code]
            for entry in self._claims.get(code, ()):
                if entry.generic:
                    return self._refined(entry, code, reading)
        return None

    def _codes_in(self, text: str) -> list[str]:
        return [name for found in system_codes(text, spellings=self._spellings) for name in variants(found.name)]

    def _refined(self, entry: Entry, code: str, reading: Reading) -> Entry:
        """Give the sibling that knows this code better for the words around it, if there is one."""
        better = (one for one in self._refiners.get(code, ()) if one.kind == entry.kind and self._matches(one, reading))
        return next(better, entry)

    def _by_words(self, kind: str, reading: Reading) -> Entry | None:
        own = [entry for entry in self if entry.kind == kind and self._matches(entry, reading)]
        told = own or [entry for entry in self if entry.generic and self._matches(entry, reading)]
        return next(iter(_telling(told)), None)

    def _by_status(self, kind: str, status: int | None) -> Entry | None:
        fitting = [entry for entry in self if status in entry.statuses]
        own = (entry for entry in fitting if entry.kind == kind)
        return next(own, None) or next((entry for entry in fitting if entry.generic), None)

    # How a pasted text is recognised.

    def _told_by_code(self, text: str, reading: Reading) -> list[Entry]:
        found = system_codes(text, spellings=self._spellings)
        named = self._named(reading)
        for weight in reversed(Weight):
            told = [entry for one in found if one.weight is weight for entry in self._proven(one, named, reading)]
            if told:
                return list(dict.fromkeys(told))
        return []

    def _proven(self, found: Found, named: frozenset[str], reading: Reading) -> list[Entry]:
        code = next((name for name in variants(found.name) if name in self._claims), "")
        proven = [entry for entry in self._claims.get(code, ()) if _proves(entry, code, found, named)]
        return [self._refined(entry, code, reading) for entry in _preferred(proven, named & self._kinds)]

    def _told_by_words(self, reading: Reading) -> list[Entry]:
        named = self._named(reading)
        if named == {_FOREIGN}:
            return []
        told = [entry for entry in self if self._speaks_of(entry, reading, named)]
        return _telling(_preferred(told, named & self._kinds))

    def _speaks_of(self, entry: Entry, reading: Reading, named: frozenset[str]) -> bool:
        words = entry.kind in named and reading.has_words(entry.words)
        return words or self._has_pattern(entry, reading, whole=entry.in_context and not named)

    def _rivals(self, code: str) -> list[Entry]:
        """Give who claims a code that proves nothing alone, if several do."""
        claimants = self._claims.get(code, [])
        return claimants if len(claimants) > 1 else []

    def _named(self, reading: Reading) -> frozenset[str]:
        """Give the kinds of systems that a text speaks of."""
        return frozenset(
            kind for kind, patterns in self._systems.items() if any(p.search(reading.line) for p in patterns)
        )

    def _matches(self, entry: Entry, reading: Reading) -> bool:
        return self._has_pattern(entry, reading) or reading.has_words(entry.words)

    def _has_pattern(self, entry: Entry, reading: Reading, *, whole: bool = False) -> bool:
        patterns = self._patterns[entry.code]
        return any(one.fullmatch(reading.line) if whole else one.search(reading.line) for one in patterns)

    @cached_property
    def _patterns(self) -> dict[str, list[re.Pattern[str]]]:
        # Compiled when first needed: most starts never see an error.
        return {
            entry.code: [
                compiled(pattern, file=self._files[entry.code], where=f'entry "{entry.code}", key "patterns"')
                for pattern in entry.patterns
            ]
            for entry in self
        }

    @cached_property
    def _systems(self) -> dict[str, list[re.Pattern[str]]]:
        return {
            kind: [compiled(one, file=file, where=f"about.{kind}") for file, one in patterns]
            for kind, patterns in self._names.items()
        }

    @cached_property
    def _spellings(self) -> frozenset[str]:
        return frozenset(code for entry in self for code in entry.claims)


def _proves(entry: Entry, code: str, found: Found, named: frozenset[str]) -> bool:
    """Whether a code in a pasted text is enough to speak of this entry."""
    if entry.kind in named:
        return True
    if found.weight is Weight.PLACED:
        return False
    if code in map(normal, entry.shared):
        return found.alone
    return code not in map(normal, entry.weak)


def _preferred(entries: list[Entry], named: frozenset[str]) -> list[Entry]:
    """Leave out what gives way: systems that the text doesn't speak of where it speaks of one, then the generic."""
    spoken_of = [entry for entry in entries if entry.kind in named or (entry.generic and named)]
    entries = spoken_of or entries
    return [entry for entry in entries if not entry.generic] or entries


def _telling(entries: list[Entry]) -> list[Entry]:
    """Leave out what says little beside one that says more."""
    return [entry for entry in entries if not entry.vague] or entries


def _settled(entries: list[Entry]) -> Explanation:
    if len(entries) == 1:
        return Explanation(entry=entries[0])
    return Explanation(candidates=list(entries))
