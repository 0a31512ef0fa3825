"""What has the form of a secret, an address or a number of somebody, whoever it is.

Every repetition has a bound: these run over texts that others write.
"""

from __future__ import annotations

import re

from app.evidence.plain import MARK

_QUOTED = r"""\\*"[^"]*(?:"|\Z)|\\*'[^']*(?:'|\Z)"""
_BARE = r"""[^\s,;&<>"'{}()\[\]]+"""
_PEM = re.compile(r"-----BEGIN [^-]{1,40}-----.*?(?:-----END [^-]{1,40}-----|\Z)", re.DOTALL)
_REST = r"""(?:[^\s"'<>=]|='[^']{0,200}'|=)*"""  # of a query; in OData a value stands in quotes
_URL = re.compile(
    r"""\b([a-z][a-z0-9+.-]{1,12}://)(?:[^\s/?#"'<>@]{0,200}@)?([^\s?#"'<>]*)([?#]"""
    rf"{_REST})?",
    re.IGNORECASE,
)
_QUERY = re.compile(rf"[?&][\w.%$\[\]-]{{1,60}}(?==){_REST}")
_SIGN_IN = re.compile(
    r"\b(bearer|basic|negotiate|sharedkey(?:lite)?|auth (?:plain|login|xoauth2))\s+"
    r"(?!(?:tokens?|auth\w*|access|realm|error|scheme|challenge|credentials?|is|was|are|not|and|or)\b)" + _BARE,
    re.IGNORECASE,
)
_NAMED_SECRET = re.compile(
    r"(password|passwd|passphrase|pwd|secret|signature|assertion|cookie|token|authorization|session_?id"
    r"|(?:api|account|access|shared|private|subscription|function|master|storage)[-_ ]?key|\bsig|\bkey(?==))"
    rf"([\w-]{{0,20}}\\*[\"']?\s*[=:]\s*)((?:{_QUOTED}|{_BARE}))",
    re.IGNORECASE,
)
_PERSONAL = (
    r"\b((?:first|last|full|middle|given|family|sur|nick|display|user|login|contact|owner|customer|person|company)"
    r"[ _-]?name|e-?mail\w{0,12}|(?:tele)?phone\w{0,10}|mobile\w{0,10}|street\w{0,8}|job_?title)"
)
_NAMED_PERSON = re.compile(
    rf"{_PERSONAL}(?:(\\*[\"']?\s*[=:]\s*)(?:{_QUOTED})|(\s?=\s?){_BARE})",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(r"\b[A-Z][A-Z0-9-]{1,14}\\{1,2}[\w.$-]+")  # DOMAIN\somebody
_NO_ADDRESS = r"""\s"'<>(),;:=\[\]{}|"""
_ADDRESS = re.compile(
    rf'(?:"[^"@]{{0,64}}"|[^{_NO_ADDRESS}]{{0,128}})@[^{_NO_ADDRESS}]*|[^{_NO_ADDRESS}]{{1,128}} @ [^{_NO_ADDRESS}]+'
)
_ANNOTATION = re.compile(r"[A-Za-z_]?[\w.]*@(?:odata|OData|Microsoft|mscrm)\.[A-Za-z.]+")
_JWT = re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){0,4}")
_CLIENT_SECRET = re.compile(r"[\w.~-]{3}[78]Q~[\w.~-]{20,50}")  # as Entra makes them
_PADDED = re.compile(r"(?<![\w+/=])[A-Za-z0-9+/]{6,}={1,2}(?![\w=])")
_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_~!=-])[A-Za-z0-9+/_~!=-]{24,}")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NUMBER = re.compile(
    # first what is known not to be anybody's number, so that it is stepped over
    rf"(?P<kept>{_GUID.pattern}|\b0x[0-9a-f]+|\b\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?"
    r"|\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b(?!\.\d)|-2147\d{6}\b"
    r"|\b[245]\d\d[ -][245](?:\.\d{1,3}){2}\b"  # SMTP: a status and its enhanced code
    r"|\b\d{1,9} ?(?:ms|milliseconds|seconds|bytes|characters|requests|records)\b)"
    r"|(?<![\w.])(?P<taken>\+?\(?\d(?:[ ().-]{0,3}\d){6,})(?!\w)",
    re.IGNORECASE,
)
_IN_QUOTES = re.compile(
    r"""(?<!\w)'(?P<one>[^']*(?:'\w[^']*)*)(?:'|\Z)|"(?P<two>[^"]*)(?:"|\Z)|`(?P<tick>[^`]*)(?:`|\Z)"""
)


def without_secrets(text: str) -> str:
    """Take out keys, tokens, passwords, signatures, queries of URLs, e-mail addresses and telephone numbers."""
    text = _PEM.sub(MARK, text)
    text = _QUERY.sub(f"?{MARK}", _URL.sub(_address_only, text))
    text = _SIGN_IN.sub(rf"\1 {MARK}", text)
    text = _NAMED_SECRET.sub(rf"\1\2{MARK}", text)
    text = _NAMED_PERSON.sub(lambda found: f"{found[1]}{found[2] or found[3]}{MARK}", text)
    text = _ADDRESS.sub(lambda found: found[0] if _ANNOTATION.fullmatch(found[0]) else MARK, text)
    for pattern in (_ACCOUNT, _JWT, _CLIENT_SECRET):
        text = pattern.sub(MARK, text)
    text = _TOKEN.sub(lambda found: MARK if _is_random(found[0]) else found[0], text)
    text = _PADDED.sub(lambda found: MARK if _is_padded(found[0]) else found[0], text)
    return _NUMBER.sub(_no_telephone, text)


def without_quoted(text: str) -> str:
    """Take out what stands in quotes and looks like a value: with a space, beyond ASCII, with an at sign."""
    return _IN_QUOTES.sub(_identifier_only, text)


def _address_only(found: re.Match[str]) -> str:
    return found[1] + found[2] + (f"?{MARK}" if found[3] else "")


def _no_telephone(found: re.Match[str]) -> str:
    number = found["taken"]
    if number is None or (number.isdigit() and len(number) == 7):  # noqa: PLR2004  (a count rather than a telephone)
        return found[0]
    return MARK


def _is_random(token: str) -> bool:
    """Tell a key from a long identifier: its letters and digits change too often to be words."""
    if _GUID.search(token):
        return False
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", token)
    return bool(parts) and sum(map(len, parts)) / len(parts) < 3  # noqa: PLR2004  (characters a part; words have more)


def _is_padded(token: str) -> bool:
    return len(token) % 4 == 0 and not token.rstrip("=").islower()


def _identifier_only(found: re.Match[str]) -> str:
    inside = next(text for text in found.groups() if text is not None)
    plain = inside.replace(MARK, "")
    harmless = plain.isascii() and " " not in plain.strip() and ("@" not in plain or _ANNOTATION.fullmatch(plain))
    mark = found[0][0]
    return found[0] if harmless else f"{mark}{MARK}{mark}"
