"""What alerts say: counts, times, codes, names of destinations and the catalogue's words. Nothing of any lead.

`said` is what is kept with an alert, ready for JSON; it is turned into a mail or a message when it is sent, so that a
second try says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.alerts.plan import OPENED, REMINDER
from app.store.alerts import RECOVERED
from app.store.tables import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.alerts.troubles import Trouble
    from app.catalogue import Entry
    from app.store.problems import ProblemRow

STEPS = 3  # of a remedy: the rest is a click away
TRIAL = "trial"
Said = dict[str, Any]

_OWNERS = {
    "publisher": "whoever runs the offer in Partner Center",
    "crm-admin": "the CRM's administrator",
    "entra-admin": "the administrator of Microsoft Entra",
    "mail-admin": "the mail administrator",
    "azure-admin": "the administrator of the Azure subscription",
    "operator": "whoever runs Leadwire",
    "nobody": "nobody at once",
}
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000))


class Words:
    """Finds them."""

    def __init__(self, entry: Callable[[str], Entry], kinds: Mapping[str, str], *, link: str | None, now: int) -> None:
        """Take the catalogue's `get`, destinations' types by name, where problems are looked at, and the time (ms)."""
        self._entry = entry
        self._kinds = kinds
        self._link = link
        self._now = now

    def __call__(self, kind: str, row: ProblemRow, trouble: Trouble | None, *, again: bool) -> Said:
        """Say what an alert says of a problem; `trouble` None: it is over; `again`: it had seemed to be over."""
        entry = self._entry(row.code)
        return {
            "kind": kind,
            "again": again,
            "problem": row.id,
            "destination": row.destination or None,
            "type": self._kinds.get(row.destination),
            "code": row.code,
            "title": entry.title,
            "since": iso(row.opened_at),
            "lasted_ms": self._now - row.opened_at,
            "leads_waiting": trouble.waiting if trouble else 0,
            "dead": trouble.dead if trouble else 0,
            "most_waiting": max(row.most_waiting, trouble.waiting + trouble.dead if trouble else 0),
            "next_try": iso(trouble.next_try) if trouble else None,
            "seen": trouble.evidence if trouble else None,
            "owner": entry.owner,
            "cause": entry.cause,
            "remedy": list(entry.remedy),
            "doc": entry.doc,
            "link": self._link,
        }


def trial(link: str | None) -> Said:
    """Say what a trial alert says, which somebody asked for to see whether alerts arrive."""
    return {
        "kind": TRIAL,
        "destination": None,
        "type": None,
        "code": None,
        "title": "This is a trial: alerts of Leadwire arrive here",
        "cause": "Somebody asked Leadwire to try its alerts. Nothing is wrong.",
        "remedy": [],
        "link": link,
    }


def subject(said: Said) -> str:
    """Give the line that must be enough on a telephone."""
    what = f"{said['destination']}: {said['title']}" if said["destination"] else said["title"]
    if said["kind"] == TRIAL:
        return f"Leadwire: {what}"
    if said["kind"] == RECOVERED:
        return f"Leadwire: over after {duration(said['lasted_ms'])}: {what}"
    if said["kind"] == REMINDER:
        return f"Leadwire: still after {duration(said['lasted_ms'])}: {what}{_counted(said)}"
    return f"Leadwire: {'back again: ' if said['again'] else ''}{what}{_counted(said)}"


def _counted(said: Said) -> str:
    told = ", ".join(_counts(said))
    return f" ({told})" if told else ""


def _counts(said: Said) -> list[str]:
    waiting, dead = said["leads_waiting"], said["dead"]
    return [text for number, text in ((waiting, f"{leads(waiting)} waiting"), (dead, f"{leads(dead)} dead")) if number]


def opening(said: Said) -> str:
    """Give the first sentence."""
    where = f"The destination {said['destination']}" if said["destination"] else "Leadwire itself"
    if said["kind"] == TRIAL:
        return f"{said['cause']}"
    if said["kind"] == RECOVERED:
        return f"{where} is well again: {_end(said)}"
    if said["kind"] == OPENED and said["again"]:
        return f"{where} had recovered, and is in trouble again. Its next recovery is told when it lasts."
    if said["kind"] == REMINDER:
        return f"{where} is in trouble since {duration(said['lasted_ms'])}, and nobody has acknowledged it."
    return f"{where} is in trouble."


def _end(said: Said) -> str:
    lasted = f"it lasted {duration(said['lasted_ms'])}"
    return f"{lasted}, and {leads(said['most_waiting'])} waited at most." if said["most_waiting"] else f"{lasted}."


def facts(said: Said) -> list[tuple[str, str]]:
    """Give labels and values, the most telling first."""
    if said["kind"] == TRIAL:
        return []
    name = f"{said['destination']} ({said['type'] or 'not in the settings'})" if said["destination"] else "Leadwire"
    rows = [("Problem", said["title"]), ("Code", said["code"]), ("Destination", name), ("Since", moment(said["since"]))]
    if said["kind"] == RECOVERED:
        return [*rows, ("Lasted", duration(said["lasted_ms"])), ("Waiting at most", leads(said["most_waiting"]))]
    if said["seen"]:
        rows.append(("Seen", said["seen"]))
    if said["leads_waiting"] or said["dead"]:
        rows.append(("Leads", ", ".join(_counts(said))))
    if said["next_try"]:
        rows.append(("Next try", moment(said["next_try"])))
    return [*rows, ("Who acts", _OWNERS.get(said["owner"], said["owner"]))]


def steps(said: Said) -> list[str]:
    """Give the first steps of the remedy, and say how many there are besides."""
    if said["kind"] == RECOVERED:
        return []
    first, more = said["remedy"][:STEPS], len(said["remedy"]) - STEPS
    where = "on the page below" if said["link"] else "in `leadwire problems`"
    left = [f"{more} more step{'s' if more > 1 else ''} {where}."] if more > 0 else []
    return [*first, *left]


def plain(said: Said) -> str:
    """Give the whole message as lines of text."""
    lines = [opening(said), "", *(f"{label}: {value}" for label, value in facts(said))]
    if steps(said):
        lines += ["", said["cause"], "", *(f"{number}. {step}" for number, step in enumerate(steps(said), 1))]
    return "\n".join([*lines, *(["", said["link"]] if said["link"] else [])])


def leads(number: int) -> str:
    """Give "1 lead", "12 leads"."""
    return "1 lead" if number == 1 else f"{number} leads"


def duration(milliseconds: int) -> str:
    """Give the two largest units of a length of time: "4 hours", "1 day 2 hours", "less than a minute"."""
    rest, told = max(0, milliseconds), []
    for name, size in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            told.append(f"{number} {name}{'s' if number > 1 else ''}")
        elif told:
            break
    return " ".join(told[:2]) or "less than a minute"


def moment(text: str) -> str:
    """Give `2026-11-20T23:51:00.123Z` as `2026-11-20 23:51 UTC`."""
    return f"{text[:10]} {text[11:16]} UTC"
