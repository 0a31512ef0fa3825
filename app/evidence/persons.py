"""The persons of a batch, found again in a system's text however it writes them.

Texts are compared by their skeleton: letters and digits only, without case, accents and forms. So "MÜLLER,+Anna" and
"müller anna" are the same, and so are a telephone number with and without its spaces.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.evidence.plain import MARK, decoded, tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.lead import Lead

SHORTEST = 3  # characters; less is in every word
ANYWHERE = 5  # characters from which on a name is also found inside a word
EXCERPT = 12  # characters that two or more words in a row must have to count as a quotation
_LAYERS = 3  # a value may itself look escaped; that is also how a system may show it
_WORD = re.compile(r"[^\W_]+")
_NO_BONE = re.compile(r"[^0-9a-z]+")
_BEGINS = re.compile(r"(?:\A|[.!?:\n]\s*)\Z")  # a sentence, after these characters
_ESCAPING = re.compile(r"[&%=<\\\"]")
_SPELLED_OUT = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae"}
_SPELLING = str.maketrans(_SPELLED_OUT | {one.upper(): two.capitalize() for one, two in _SPELLED_OUT.items()})
# Names of systems and of mail for everybody: they say nothing of a person, and errors can't be told without them.
SYSTEMS = frozenset(
    (
        *("azure", "dataverse", "dynamics", "exchange", "microsoft", "microsoftonline", "office", "office365"),
        *("onmicrosoft", "outlook", "salesforce", "gmail", "google", "hotmail", "icloud", "yahoo"),
    )
)


class Persons:
    """What must not be shown of some leads."""

    def __init__(self, leads: Sequence[Lead]) -> None:
        """Collect their values; what stands for offer, source and action is nobody's and stays."""
        self._names: set[str] = set()  # found anywhere, as far as they are long enough
        self._beginnings: set[str] = set()  # of names, as systems cut them off
        self._odd: set[str] = set()  # single words of free texts that may be names or numbers
        self._texts: set[str] = set()  # of which no two words in a row may be shown
        self._signs: set[str] = set()  # values without a letter or digit, as they are
        for lead in leads:
            self._take(lead)
        self._names -= SYSTEMS
        self._odd -= SYSTEMS

    def without(self, text: str) -> str:
        """Put a mark in the place of everything that is theirs."""
        for sign in self._signs:
            text = text.replace(sign, MARK)
        bones, places = _skeleton(text)
        spans = [*_named(self._names, bones, places, text), *self._in_words(text)]
        return _marked(text, spans) if spans else text

    def _take(self, lead: Lead) -> None:
        first, last, email = lead.first_name or "", lead.last_name or "", lead.email or ""
        local, _, domain = email.rpartition("@")
        label = max(domain.split(".")[:-1] or [""], key=len)
        names = [first, last, lead.company or "", local, label]
        whole = [email, lead.phone or "", lead.title or "", lead.country or "", f"{first}{last}", f"{last}{first}"]
        whole += [] if _bones(label) in SYSTEMS else [domain]
        free = [lead.description or "", *_leaves(lead.campaign), *_leaves(lead.extra)]
        for value in _spellings([*names, *whole]):
            self._keep(value)
        for value in _spellings(names):
            words = {_bones(word) for word in _WORD.findall(value)}
            self._names |= set(filter(_is_telling, words))
            self._beginnings |= {word[:end] for word in words for end in range(SHORTEST, len(word))}
        for value in _spellings(free):
            self._keep(value)
            self._odd |= set(_odd_words(value))

    def _keep(self, value: str) -> None:
        bones = _bones(value)
        if _is_telling(bones):
            self._names.add(bones)
        elif not bones and len(value) >= SHORTEST:
            self._signs.add(value)
        if len(bones) >= EXCERPT:
            self._texts.add(bones)

    def _in_words(self, text: str) -> Iterator[tuple[int, int]]:
        """Find single words, words that were cut off, and excerpts of longer texts."""
        words = [(found.start(), found.end(), _bones(found[0])) for found in _WORD.finditer(text)]
        for start, end, word in words:
            least = SHORTEST if end == len(text) else ANYWHERE
            if word in self._odd or (len(word) >= least and word in self._beginnings):
                yield start, end
        for whole in self._texts:
            yield from _excerpts(words, whole)


def _spellings(values: Iterable[str]) -> Iterator[str]:
    """Give each value as it is, and as it reads if its own escapes are taken for escapes."""
    for value in values:
        spelled = {value, tidy(value)}
        for _ in range(_LAYERS if _ESCAPING.search(value) else 0):
            spelled |= {decoded(one) for one in spelled}
        if not value.isascii():
            spelled |= set(_mangled(value))
        yield from filter(None, spelled)


def _mangled(value: str) -> Iterator[str]:
    """Give a value the way systems write it that know fewer letters: some left out, read wrongly, or spelled out."""
    yield value.encode("ascii", "ignore").decode()
    for encoding in ("latin-1", "cp1252"):
        yield value.encode().decode(encoding, "replace")
    yield value.translate(_SPELLING)


def _leaves(value: Any) -> Iterator[str]:  # noqa: ANN401  (any JSON)
    """Give every value inside a sender's own structure, as text."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _odd_words(text: str) -> Iterator[str]:
    """Give the words of a free text that don't look like any word: capitals, digits, letters beyond ASCII."""
    for found in _WORD.finditer(text):
        word = found[0]
        if len(word) < SHORTEST or (word.islower() and word.isascii() and word.isalpha()):
            continue
        begins = _BEGINS.search(text[max(0, found.start() - 3) : found.start()])
        if not (begins and word[1:].islower() and word.isascii() and word.isalpha()):
            yield _bones(word)


def _is_telling(bones: str) -> bool:
    return len(bones) >= (SHORTEST if bones.isascii() else 2)  # two signs are a whole name in Chinese


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    folded = unicodedata.normalize("NFKD", char).upper().casefold()
    return "".join(one for one in unicodedata.normalize("NFKD", folded) if one.isalnum())


def _bones(text: str) -> str:
    return _NO_BONE.sub("", text.lower()) if text.isascii() else "".join(map(_fold, text))


def _skeleton(text: str) -> tuple[str, list[int]]:
    """Give the skeleton of a text, and for each character of it the place where it stands in the text."""
    pairs = [(bone, place) for place, char in enumerate(text) for bone in _fold(char)]
    return "".join(bone for bone, _ in pairs), [place for _, place in pairs]


def _named(names: Iterable[str], bones: str, places: list[int], text: str) -> Iterator[tuple[int, int]]:
    """Find names: a short one must be a word, or a part of one that its letter case sets off."""
    for name in names:
        at = bones.find(name)
        while at >= 0:
            start, end = places[at], places[at + len(name) - 1] + 1
            inside = (len(name) >= ANYWHERE or not name.isascii()) and _is_one_word(text[start:end])
            if inside or (_is_edge(text, start) and _is_edge(text, end)):
                yield start, end
            at = bones.find(name, at + 1)


def _is_one_word(text: str) -> bool:
    return all(char.isalnum() or unicodedata.category(char).startswith("M") for char in text)


def _is_edge(text: str, place: int) -> bool:
    """Tell whether a word or a part of it begins or ends before this place."""
    if place in {0, len(text)}:
        return True
    before, after = text[place - 1], text[place]
    apart = not (before.isalnum() and after.isalnum())
    return apart or (before.islower() and after.isupper()) or before.isdigit() != after.isdigit()


def _excerpts(words: Sequence[tuple[int, int, str]], whole: str) -> Iterator[tuple[int, int]]:
    """Find runs of words that stand in a longer text just so."""
    first = 0
    while first < len(words):
        run, next_ = "", first
        while next_ < len(words) and run + words[next_][2] in whole:
            run += words[next_][2]
            next_ += 1
        if len(run) >= EXCERPT and next_ - first > 1:
            yield words[first][0], words[next_ - 1][1]
            first = next_
        else:
            first += 1


def _marked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    hidden = bytearray(len(text))
    for start, end in spans:
        hidden[start:end] = b"\1" * (end - start)
    kept = "".join(MARK if gone else char for char, gone in zip(text, hidden, strict=True))
    return re.sub(f"{MARK}+", MARK, kept)
