"""What stands in a pasted error: the text made plain, and the codes of outside systems found in it.

People paste sentences, JSON bodies, log lines and JSON inside JSON inside a sentence, often cut off. So nothing
is parsed here: escapes are undone and codes are looked for as whole words. Every step takes time in proportion to
the text, whatever it holds; the text is cut at `LIMIT` first.

What is said without a code is told by a line for the catalogue's patterns, and by sentences for its words:
translators reword, and their machines more so, but a few beginnings of words stay in the same sentence.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

LIMIT = 65_536  # characters
_NESTING = 4  # times that escapes are undone: a Power Automate run has JSON in JSON in a sentence

_ESCAPE = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|([nrt"'/\\]))""")
_CONTROL = {"n": "\n", "r": "\n", "t": " "}
_QUOTES = str.maketrans("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb", '\'\'\'\'"""""')

# Our own codes, as `azure_table.server-busy`; not as part of a path, a host's name or a setting.
_OURS = re.compile(r"(?<![\w./@-])[a-z][a-z0-9_]{1,30}\.[a-z0-9][a-z0-9-]{1,60}(?![\w=/@-]|\.\w)")
_ENTRA = (
    re.compile(r"(?i)AADSTS[\s:_-]{0,2}(\d{4,8})(?!\d)"),
    re.compile(r"(?i)login\.[a-z.]{1,40}/error\?code=(\d{4,8})(?!\d)"),
    re.compile(r"(?i)sign-in error code:?\s{0,3}(\d{4,8})(?!\d)"),
    # What Microsoft's own sign-in page shows; a shop's page has no such id behind the code.
    re.compile(r"(?i)error code:?\s{0,3}(\d{4,8})(?!\d)(?=[^\w]{0,9}(?:request|correlation|trace) ?id)"),
)
_ENTRA_ALONE = re.compile(r"(?i)(?:error[ :]{0,2})?(?:code[ :]{0,2})?(\d{5,7})")
_ENTRA_LIST = re.compile(r"error_codes[\"']?\s{0,4}[:=]\s{0,4}\[([\d,\s]{1,80})\]")
# ASCII word edges: in Japanese a code stands between letters without a space.
_HEX = re.compile(r"(?a)(?<!\w)0[xX]8[0-9A-Fa-f]{7}(?!\w)")
_HEX_AFTER_CODE = re.compile(
    r"(?ai)(?:code|hresult|result|error|hr)[\"']?\s{0,2}[:= ]\s{0,2}[\"'(]?(8[0-9a-f]{7})(?!\w)"
)
_DECIMAL = re.compile(r"(?<![\w-])(?:-2147|2147|2148)\d{6}(?!\d)")
_WORD = re.compile(r"(?a)(?<![\w.$-])[A-Za-z][A-Za-z0-9_]{2,79}(?!\w)")
# Codes that adapters of ours make up, as "dynamics-column-unknown".
_DASHED = re.compile(r"(?a)(?<![\w./@-])[a-z]{2,30}(?:-[a-z]{2,30}){1,6}(?![\w=/@-]|\.\w)")
# "535 5.7.139", "535-5.7.8", "550 #5.1.1", and the tuple that smtplib's exceptions print
_REPLY = re.compile(r"(?<![\w.])([45]\d\d)(?:[ -]|, ?b?['\"])[ #]?([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_ENHANCED_ONLY = re.compile(r"(?im)(?:^[ \t>#]{0,8}|dsn=|status: ?)([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_REPLY_ONLY = re.compile(
    r"(?im)(?:^[ \t>#]{0,8}|\(|\bsmtp[ a-z]{0,20}[: ]{1,2}|said: ?|code:? |error:? |reply:? )([45]\d\d)"
    r"(?![\w.%])(?!(?:[ -]|, ?b?['\"])[ #]?[45]\.\d)"
)


# Where a sentence ends, or what stands in it begins: "LastCRMError: ...", "Exception:: ...". Not in 00:02:00.
_SENTENCE = re.compile(r"(?:[.!?;]|:{1,2})(?=[\s\"'):.]|$)|[\u3002\uff61]")
_SHORT, _LONG = 6, 400  # characters; a longer sentence is none, and is read piece by piece
_ACCENTS = re.compile("[\u0300-\u036f]")
_LETTERS = str.maketrans({"\u0142": "l", "\u00f8": "o", "\u0111": "d"})  # those that have no accent to take away


class Weight(IntEnum):
    """How much a code proves by its form."""

    PLACED = 1  # a number that is a code only in a text about mail
    FORMED = 2  # a code by its form, or a word that the catalogue knows as one


@dataclass(frozen=True, slots=True)
class Found:
    """A code in a text: its `name` in normal form, how it stands there, and whether it is the whole text."""

    name: str
    weight: Weight = Weight.FORMED
    alone: bool = False


def plain(text: str) -> str:
    """Undo JSON and HTML escapes, typographic quotes and compatibility forms; cut at `LIMIT`."""
    text = html.unescape(text[:LIMIT])
    for _ in range(_NESTING):
        if "\\" not in text:
            break
        text = _ESCAPE.sub(_unescaped, text)
    return unicodedata.normalize("NFKC", text)[:LIMIT].translate(_QUOTES)


def _unescaped(match: re.Match[str]) -> str:
    number, letter = match.groups()
    return chr(int(number, 16)) if number else _CONTROL.get(letter, letter)


def one_line(text: str) -> str:
    """Fold white space, so that a pattern need not know where lines were broken."""
    return " ".join(text.split())


def bare(text: str) -> str:
    """Give the normal form of a text that may be a code and nothing else."""
    code = text.strip(" \t\r\n\"'.:,;()[]{}")
    entra = _ENTRA_ALONE.fullmatch(code)
    return normal(f"AADSTS{entra[1]}" if entra else code)


def normal(code: str) -> str:
    """Give the form in which codes are compared: no letter case, single spaces, and one of the same number's three.

    Dataverse writes 0x80040220 in one place, -2147220960 in another, 80040220 or 2147746336 in a third.
    """
    code = " ".join(code.split()).casefold()
    if _DECIMAL.fullmatch(code):
        return f"0x{int(code) & 0xFFFFFFFF:08x}"
    return f"0x{code}" if _HEX.fullmatch(f"0x{code}") else code


def variants(code: str) -> list[str]:
    """Give the normal forms to look a code up by, most telling first.

    "535 5.7.139" is looked up whole, then as enhanced status "5.7.139", then as reply "535".
    """
    reply = re.fullmatch(r"([45]\d\d)[ -]#?([45]\.\d{1,3}\.\d{1,3})", code.strip())
    if reply:
        return [f"{reply[1]} {reply[2]}", reply[2], reply[1]]
    return [normal(code)]


def reply_class(code: str) -> list[str]:
    """Give what the first digit of an SMTP reply says where nothing else of it is known: "4yz" or "5yz" (RFC 5321)."""
    reply = re.fullmatch(r"([45])\d\d(?:[ -]#?[45]\.\d{1,3}\.\d{1,3})?", code.strip())
    return [f"{reply[1]}yz"] if reply else []


def our_codes(text: str) -> list[str]:
    """Give the words of a plain text that have the form of a catalogue code, in order, once each."""
    return list(dict.fromkeys(_OURS.findall(text)))


def system_codes(text: str, *, spellings: Container[str]) -> list[Found]:
    """Give the codes of outside systems in a plain text, once each; words count only as one of `spellings`."""
    alone = bare(text)
    words = [*_WORD.findall(text), *_DASHED.findall(text)]
    found = [*_numbers(text), *(Found(normal(word)) for word in words if word in spellings)]
    # Where nothing else was pasted there is no doubt that it is meant as a code, however it is written.
    return list(dict.fromkeys([Found(alone, alone=True), *(one for one in found if one.name != alone)]))


def _numbers(text: str) -> Iterator[Found]:
    numbers = [match[1] for pattern in _ENTRA for match in pattern.finditer(text)]
    numbers += [number for match in _ENTRA_LIST.finditer(text) for number in re.findall(r"\d{4,8}", match[1])]
    yield from (Found(f"aadsts{number}") for number in numbers)
    yield from (Found(normal(match[0])) for pattern in (_HEX, _DECIMAL) for match in pattern.finditer(text))
    yield from (Found(normal(match[1])) for match in _HEX_AFTER_CODE.finditer(text))
    for match in _REPLY.finditer(text):
        if match[1][0] == match[2][0]:
            yield Found(f"{match[1]} {match[2]}")
    yield from (Found(match[1], Weight.PLACED) for match in _ENHANCED_ONLY.finditer(text))
    yield from (Found(match[1], Weight.PLACED) for match in _REPLY_ONLY.finditer(text))


def folded(line: str) -> str:
    """Leave out letter case and the accents of Latin letters; Japanese stays as it is."""
    if line.isascii():
        return line.casefold()
    apart = _ACCENTS.sub("", unicodedata.normalize("NFKD", line.casefold()))
    return unicodedata.normalize("NFC", apart).translate(_LETTERS)


def sentences(line: str) -> list[str]:
    """Give the sentences of a folded line, once each, with a space at both ends; overlapping pieces of long ones."""
    found: dict[str, None] = {}
    for sentence in _SENTENCE.split(line):
        for start in range(0, max(1, len(sentence) - _LONG // 2), _LONG // 2):
            if len(sentence) >= _SHORT:
                found[f" {sentence[start : start + _LONG]} "] = None
    return list(found)


class Reading:
    """One text, read as far as somebody asks."""

    def __init__(self, text: str) -> None:
        """Take a plain text."""
        self.line = one_line(text)

    @cached_property
    def _sentences(self) -> list[str]:
        return sentences(folded(self.line))

    @cached_property
    def _all(self) -> str:
        return "".join(self._sentences)

    def has_words(self, lists: Iterable[tuple[tuple[str, ...], ...]]) -> bool:
        """Whether of one of the lists every group has a word in the same sentence."""
        return any(
            # A look at the whole text first: most lists end there.
            _has_all(self._all, groups) and any(_has_all(sentence, groups) for sentence in self._sentences)
            for groups in lists
        )


def _has_all(text: str, groups: tuple[tuple[str, ...], ...]) -> bool:
    return all(any(stem in text for stem in group) for group in groups)
