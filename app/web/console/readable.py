"""Text from outside, made harmless to look at: what is invisible is shown by name, what is endless scrolls."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

LONG = 400  # letters; more goes into a box of its own that scrolls

BOX = Markup('<div class="lw-scroll" tabindex="0" role="group" aria-label="Long text, {} letters">{}</div>')

# Control characters, and what turns the direction of text or hides in it. Joiners stay: scripts and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def readable(value: object) -> Markup:
    """Give a text as HTML that shows all of it and obeys nothing of it; numbers and the like as their text."""
    text = str(value)
    shown = Markup("<bdi>{}</bdi>").format(visible(text))
    if len(text) <= LONG:
        return shown
    return BOX.format(f"{len(text):,}", shown)


def visible(text: str) -> Markup:
    """Escape a text and write what can't be seen as its code point."""
    parts, end = [], 0
    for match in _UNSEEN.finditer(text):
        parts += [escape(text[end : match.start()]), _named(match[0])]
        end = match.end()
    return Markup().join([*parts, escape(text[end:])])


def unseen(text: str) -> list[str]:
    """Name what can't be seen in a text, each once."""
    return [f"U+{ord(letter):04X}" for letter in sorted(set(_UNSEEN.findall(text)) - {"\r"})]


def _named(letter: str) -> Markup:
    return Markup('<span class="lw-unseen">U+{:04X}</span>').format(ord(letter))
