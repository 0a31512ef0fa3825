"""Country names as people write them → ISO 3166 two-letter codes."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

import pycountry

NICKNAMES = {
    "uk": "GB", "great britain": "GB", "britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB",
    "northern ireland": "GB", "usa": "US", "america": "US", "korea": "KR", "russia": "RU", "turkey": "TR",
    "holland": "NL", "ivory coast": "CI", "hong kong sar": "HK", "macau": "MO", "macao sar": "MO", "uae": "AE",
    "cape verde": "CV", "swaziland": "SZ", "burma": "MM", "brunei": "BN", "palestine": "PS", "macedonia": "MK",
    "micronesia": "FM", "east timor": "TL", "vatican": "VA", "vatican city": "VA", "prc": "CN", "ksa": "SA",
    "us virgin islands": "VI", "drc": "CD", "dr congo": "CD", "congo drc": "CD", "palestinian authority": "PS",
    "republic of ireland": "IE", "falkland islands": "FK", "saint martin": "MF", "pitcairn islands": "PN",
    "holy see": "VA", "korea south": "KR", "korea north": "KP",
}  # fmt: skip


@cache
def _countries() -> dict[str, str]:
    names = dict(NICKNAMES)
    for country in pycountry.countries:
        for attribute in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            name = getattr(country, attribute, "")
            # "Congo, The Democratic Republic of the" is a name turned round for sorting.
            after, _, before = reversed(name.partition(", "))
            for spelling in (name, f"{after} {before}" if before else ""):
                if spelling:
                    names.setdefault(_folded(spelling), country.alpha_2)
    return names


def _folded(name: str) -> str:
    """Take off case, accents, dots, an article at either end and superfluous white space; write Saint out."""
    if not name.isascii():
        name = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    name = re.sub(r"\b(\w)\.\s*", r"\1", name)  # U. S. A.
    plain = re.sub(r"[^\w\s'-]+", "", name.replace("\u2019", "'").replace("&", " and ").replace(",", " "))
    words = ("saint" if word == "st" else word for word in plain.casefold().split())
    return " ".join(words).removeprefix("the ").removesuffix(" the")


@lru_cache(maxsize=1024)  # what senders write is mostly the same few
def country_code(text: str | None) -> str | None:
    """Give the ISO 3166 two-letter code for a code or an English name; what can't be told stays as it came."""
    return _countries().get(_folded(text), text) if text else None
