"""Leads in bulk: what came in, what it owed to each destination, and every attempt, each consistent with the other.

A million leads with four destinations are nine million rows; all that follows from another row is made by the
database itself. Persons are artificial: Microsoft's documented "Some One", numbered.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.lead import Envelope, Lead, parse
from app.store.arrival import person_key
from app.store.desk import HOUR_MS, arrivals, throughput
from app.store.sorting import NOTHING, body_columns, lead_columns
from app.store.tables import State, Status, attempts, deliveries, quarantine, receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from app.store import Store

MINUTE = 60_000
DAY = 24 * HOUR_MS
CHUNK = 20_000  # rows a transaction
CACHE_KB = 400_000
COLUMNS = (
    "id", "received_at", "source", "status", "test", "lead_source", "action_code", "offer", "email_domain",
    "duplicate_of", "person", "sealed", "data_key",
)  # fmt: skip
DESTINATIONS = ("crm", "sales", "table", "team-mail")
SOURCES = (("marketplace", 8), ("appsource", 2))
OFFERS = (
    ("contoso", "backup", "Contoso Backup for Azure", 40),
    ("contoso", "cloud-cost-insights", "Contoso Cloud Cost Insights", 24),
    ("contoso", "security-posture-management-for-regulated-industries", "Contoso Security Posture Management", 15),
    ("fabrikam", "analytics", "Fabrikam Analytics", 12),
    ("fabrikam", "iot_edge-preview", "Fabrikam IoT Edge (preview)", 5),
    (None, None, "Managed service: architecture review, 4 weeks", 4),
)
ACTIONS = (("INS", 60), ("PLT", 25), ("DNC", 3), ("CFS", 12))
FROM = (("AzureMarketplace", 70), ("AppSource", 30))
COUNTRIES = ("US", "DE", "GB", "NL", "FR", "JP", "IN", "BR", "PL", "AU")
WORD = "Donaudampfschifffahrtsgesellschaft"
HOSTILE = (
    {"company": "<script>alert('Contoso')</script>", "title": "<img src=x onerror=alert(1)>"},
    {"company": "Contoso \u202egnp.exe", "title": "\u2067\u05de\u05e0\u05d4\u05dc\u2069 / \u0645\u062f\u064a\u0631"},
    {"company": '=HYPERLINK("https://fabrikam.example","Contoso")', "phone": "+cmd|' /C calc'!A0"},
    {"company": "X" * 10_000, "description": WORD * 40},
    {"first_name": "Long Name " * 12, "last_name": WORD * 3, "company": f"Contoso {WORD} {WORD} und {WORD} GmbH"},
    {"publisher_id": "fabrikam", "offer_id": "<b>bold</b>-" + "very-long-offer-" * 8, "offer_title": "<b>bold</b>"},
)  # fmt: skip
BODIES = (
    (
        b'{\n  "userDetails": {\n    "firstName": "Some",\n    "lastName": "One"\n    "email": "someone@contoso.com"\n'
        b'  },\n  "leadSource": "AzureMarketplace",\n  "actionCode": "INS",\n  "offerTitle": "Test Microsoft"\n}\n'
    ),
    b'{"userDetails": {"firstName": "Some", "lastName": "One", "email": "someone@contoso.com", "country": "US"',
    b'{"leadSource": "AzureMarketplace", "actionCode": "INS", "offerTitle": "Contoso Backup", "description": ""}',
    b"<html>\n<head><title>502 Bad Gateway</title></head>\n<body>bad gateway</body>\n</html>\n",
    b'{"userDetails": {"firstName": "MSFT_TEST_Some", "email": ["someone@contoso.com"]}, "leadSource": 7}',
)
RUSH_HOURS = 8  # of late, so that something waits at any time of day
PARKED_MS = 5 * HOUR_MS + 12 * MINUTE  # since when the CRM is parked
THROTTLED_MS = 41 * MINUTE  # since when the mail server asks for patience
DEAD_DAYS = 6
SENT, DUE, DEAD = (sa.literal_column(f"'{one}'") for one in (State.SENT, State.DUE, State.DEAD))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it, and when `now` is (ms)."""

    leads: int
    days: int
    now: int
    dice: random.Random

    def times(self) -> list[int]:
        """Give when each came in: fewer at weekends and at night, more from month to month; the last a minute ago."""
        weights = [self._weight(hour) for hour in range(self.days * 24)]
        hours = self.dice.choices(range(self.days * 24), weights, k=self.leads)
        start = self.now - self.days * DAY
        return sorted(start + hour * HOUR_MS + int(self.dice.random() * (HOUR_MS - MINUTE)) for hour in hours)

    def _weight(self, hour: int) -> float:
        at = (self.now - self.days * DAY) // HOUR_MS + hour
        weekday = (at // 24 + 3) % 7  # 1970 began on a Thursday
        daylight = 1 + 0.8 * math.sin((at % 24 - 8) / 24 * 2 * math.pi)
        growth = 0.6 + 0.8 * hour / (self.days * 24)
        rush = 5 if hour >= self.days * 24 - RUSH_HOURS else 1
        return daylight * growth * (0.35 if weekday >= 5 else 1) * rush * self._mood(at // 24)  # noqa: PLR2004

    @staticmethod
    def _mood(day: int) -> float:
        return 0.8 + 0.5 * random.Random(day).random()  # noqa: S311  (made-up leads)


def fill_leads(store: Store, plan: Plan) -> None:
    """Put in everything that came and what became of it."""
    store.salt()  # made in a transaction of its own, which can't be inside ours
    insert = store.many(receipts, COLUMNS, finish=lambda statement: statement)
    in_order, made = itemgetter(*COLUMNS), _receipts(store, plan)
    while chunk := [in_order(row) for row in islice(made, CHUNK)]:
        with store.write(durable=False) as connection:
            _make_room(connection)
            insert(connection, chunk)
    with store.write() as connection:
        _make_room(connection)
        _quarantine(store, connection, plan)
        for name in DESTINATIONS:
            _deliver(connection, name, plan)
    with store.write() as connection:
        _make_room(connection)
        _try(connection)
        _count(connection)


def _make_room(connection: Connection) -> None:
    """Keep more pages in memory: a million persons' keys land anywhere in their index."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KB}")


def _receipts(store: Store, plan: Plan) -> Iterator[dict[str, Any]]:
    dice = plan.dice
    offers = dice.choices(OFFERS, [one[3] for one in OFFERS], k=1000)
    sources = dice.choices([name for name, _ in SOURCES], [weight for _, weight in SOURCES], k=1000)
    actions = dice.choices([code for code, _ in ACTIONS], [weight for _, weight in ACTIONS], k=997)
    came = dice.choices([code for code, _ in FROM], [weight for _, weight in FROM], k=991)
    statuses = dice.choices((Status.ACCEPTED, Status.DUPLICATE, Status.WITHHELD), (955, 35, 10), k=9973)
    earlier: str | None = None
    for number, at in enumerate(plan.times()):
        publisher, offer, title, _ = offers[number * 7 % 1000]
        status, test = statuses[number % 9973], number % 41 == 3  # noqa: PLR2004
        if status is not Status.ACCEPTED and (test or earlier is None):
            status = Status.ACCEPTED
        about = {"lead_source": came[number % 991], "action_code": actions[number % 997], "publisher_id": publisher}
        about |= {"offer_title": title, "offer_id": offer}
        lead = Lead(**(about if status is Status.WITHHELD else about | _person(number, test=test)))
        row = {"id": id_at(at, number), "received_at": at, "source": sources[number % 1000], "status": status.value}
        row |= {"test": test, "email_domain": None, "duplicate_of": None, "person": None}
        row |= lead_columns(store, row["id"], lead)
        if status is Status.DUPLICATE:
            row |= {"duplicate_of": earlier, **NOTHING}
        elif status is Status.WITHHELD:
            row["email_domain"] = ("contoso.edu", "fabrikam.edu", "mail.cs.contoso.edu")[number % 3]
        else:
            earlier = row["id"]
            row["person"] = person_key(store, lead.email)
        yield row


def _person(number: int, *, test: bool) -> dict[str, Any]:
    if test:
        return {"first_name": "MSFT_TEST_Some", "last_name": "One", "email": f"MSFT_TEST_{number}@contoso.com",
                "country": "US", "company": "MSFT_TEST Contoso", "description": "Test run"}  # fmt: skip
    person: dict[str, Any] = {
        "first_name": "Some", "last_name": f"One {number}", "email": f"someone{number}@contoso.com",
        "phone": f"+1617555{number % 10_000:04}", "country": COUNTRIES[number % 10],
        "company": f"Contoso {number % 700}", "title": "Esquire" if number % 3 else None,
        "description": "Please call back." if number % 5 == 0 else None,
    }  # fmt: skip
    if number % 29 == 7:  # noqa: PLR2004
        person["campaign"] = {"mktcmpid": "autumn-2026", "utm_source": "newsletter"}
    return person | (HOSTILE[number % len(HOSTILE)] if number % 60 == number % len(HOSTILE) and number % 7 == 0 else {})


def id_at(at: int, number: int) -> str:
    """Make an id of that moment (ms), as they are made for real; the same number gives the same id."""
    time = f"{at:012x}"
    return f"{time[:8]}-{time[8:]}-7{number >> 32 & 0xFFF:03x}-8{number >> 20 & 0xFFF:03x}-{number & 0xFFFFFFFFFF:012x}"


def _quarantine(store: Store, connection: Connection, plan: Plan) -> None:
    """Bodies that really can't be read, with what our own reader says about them."""
    bodies = [*BODIES, *(body.replace(b"Some", b"Another") for body in BODIES)]
    for number, body in enumerate(bodies):
        at = plan.now - (number * 11 + 3) * HOUR_MS - number * 7 * MINUTE
        refused: Any = parse(Envelope(body=body, content_type="application/json"))
        error = {"status": refused.status, "title": refused.title, "detail": refused.detail, "errors": refused.errors}
        id_ = id_at(at, 0xFFFF0000 + number)
        row = {"id": id_, "received_at": at, "source": "marketplace", "test": b"MSFT_TEST" in body}
        connection.execute(receipts.insert(), row | {"status": Status.QUARANTINED})
        # Of the last one an address of a withheld domain was seen.
        last = number == len(bodies) - 1
        kept = {"content_type": "" if last else "application/json"} | body_columns(store, id_, None if last else body)
        connection.execute(quarantine.insert(), {"id": id_, **kept, "length": len(body), "error": json.dumps(error)})


def _deliver(connection: Connection, name: str, plan: Plan) -> None:
    """What each accepted lead owed to a destination: nearly everything arrived, but not where there is trouble."""
    at = receipts.c.received_at
    chance = sa.func.length(receipts.c.sealed) + at // 7
    trouble = _trouble(name, at, chance, plan)
    state = sa.case(*((one.where, one.state) for one in trouble), else_=SENT) if trouble else SENT
    claims = sa.case(*((one.where, one.claims) for one in trouble), (chance % 97 == 0, 2), else_=1)
    remote: Any = {
        "crm": sa.func.replace(receipts.c.id, "-7", "-5"),
        "sales": sa.literal("00QWU00000") + sa.func.substr(receipts.c.id, 29, 8),
        "table": receipts.c.id,
        "team-mail": sa.literal("<") + receipts.c.id + sa.literal("@contoso.example>"),
    }[name]
    values: dict[str, Any] = {
        "receipt_id": receipts.c.id,
        "destination": sa.literal(name),
        "state": state,
        "due_at": sa.case(*((one.where, one.due_at) for one in trouble), else_=at) if trouble else at,
        "tries": sa.case((state == SENT, claims - 1), else_=claims),
        "claims": claims,
        "code": sa.case(*((one.where, one.code) for one in trouble), else_=sa.null()) if trouble else sa.null(),
        "remote_id": sa.case((state == SENT, remote)),
        "updated_at": at + 900,
    }
    owed = receipts.c.status == Status.ACCEPTED
    if name == "team-mail":  # it hears of withheld leads
        owed |= receipts.c.status == Status.WITHHELD
    query = sa.select(*values.values()).where(owed).order_by(receipts.c.id)
    connection.execute(deliveries.insert().from_select(list(values), query))


@dataclass(frozen=True, slots=True)
class _Trouble:
    where: Any
    state: Any
    due_at: Any
    claims: int
    code: Any


def _trouble(name: str, at: Any, chance: Any, plan: Plan) -> list[_Trouble]:  # noqa: ANN401
    if name == "crm":  # parked by what came in the first hour; the rest only waits
        parked = plan.now - PARKED_MS
        first = (at > parked) & (at <= parked + HOUR_MS)
        return [
            _Trouble(first, DUE, at, 1, sa.literal("dynamics.no-security-role")),
            _Trouble(at > parked, DUE, at, 0, sa.null()),
        ]
    if name == "sales":
        refused = (at > plan.now - DEAD_DAYS * DAY) & (at < plan.now - PARKED_MS) & (chance % 83 == 5)  # noqa: PLR2004
        return [_Trouble(refused, DEAD, at, 1, sa.literal("salesforce.validation-rule"))]
    if name == "team-mail":
        next_try = plan.now + 9 * MINUTE + at % (7 * MINUTE)
        return [_Trouble(at > plan.now - THROTTLED_MS, DUE, next_try, 2, sa.literal("email.throttled"))]
    return []


def _try(connection: Connection) -> None:
    """The attempts behind them: of what was tried twice the first one timed out."""
    mine = deliveries.c
    took = 120 + mine.updated_at % 700
    key = {"receipt_id": mine.receipt_id, "destination": mine.destination}
    sales, mail = mine.destination == "sales", mine.destination == "team-mail"
    role, busy = mine.code == "dynamics.no-security-role", mine.code == "email.throttled"
    failing = mine.code.is_not(None)
    once = {
        "number": mine.claims, "at": mine.updated_at, "code": mine.code,
        "status": sa.case((role, 403), (busy, 451), (failing, 400), (sales, 201), (~mail, 204)),
        "raw_code": sa.case((role, "0x80042f09"), (busy, "4.7.500"), (failing, "FIELD_CUSTOM_VALIDATION_EXCEPTION")),
        "verdict": sa.case((role, "hold"), (busy, "retry"), (failing, "dead"), else_="done"),
        "duration_ms": took,
    }  # fmt: skip
    first = {
        "number": sa.literal(1), "at": mine.updated_at - 4200, "verdict": sa.literal("retry"), "duration_ms": took,
        "code": sa.case((failing, mine.code), else_="network.timeout"), "status": sa.case((failing, 451)),
        "raw_code": sa.case((failing, "4.7.500")),
    }  # fmt: skip
    for columns, which in ((once, mine.claims > 0), (first, mine.claims > 1)):
        values = key | columns
        query = sa.select(*values.values()).where(which).order_by(mine.receipt_id, mine.destination)
        connection.execute(attempts.insert().from_select(list(values), query))


def _count(connection: Connection) -> None:
    """The counters, as they would stand had all of it come one by one."""
    came = receipts.c
    of = (came.received_at // HOUR_MS, came.source, came.status, came.test)
    query = sa.select(*of, sa.literal(0), sa.func.count()).group_by(*of)
    names = ["hour", "source", "status", "test", "shard", "number"]
    connection.execute(arrivals.insert().from_select(names, query))
    sent = sa.select(deliveries.c.destination, sa.func.count(), sa.func.max(deliveries.c.updated_at))
    query = sent.where(deliveries.c.state == SENT).group_by(deliveries.c.destination)
    connection.execute(throughput.insert().from_select(["destination", "sent", "last_sent_at"], query))
