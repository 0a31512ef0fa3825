"""What lies on the operators' desk: three open problems, the history, who did what, checks, tokens, who was here."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.desk import HOUR_MS, checks, key_uses, problems, throughput, tokens
from app.store.tables import audit, deliveries, lanes, receipts, workers
from scripts.seed_leads import DAY, DEAD_DAYS, MINUTE, PARKED_MS, THROTTLED_MS, id_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from app.store import Store

ROLE = "SecLib::RetrievePrivilegeForUser failed - no roles are assigned to user. Returned hr = -2147209463, User: •••"
RULE = '[{"message":"A lead needs a telephone number.","errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION"}]'
BUSY = "451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (AS77712)"
LIMIT = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
EXPIRED = "AADSTS7000222: The provided client secret keys for app '•••' are expired."
LOCKED = "unable to obtain exclusive access to this record"
OPERATOR, SOMEONE = "console:operator", "console:someone@contoso.com"
# destination, code, days ago, how long (min), most waiting, status, raw code, evidence, note
HISTORY = (
    ("crm", "dynamics.throttled", 3, 22, 84, 429, "0x80072322", LIMIT, None),
    ("table", "azure_table.server-busy", 4, 6, 17, 503, "ServerBusy", "The server is busy.", None),
    ("sales", "salesforce.limit-exceeded", 9, 415, 231, 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.",
     "The nightly import used them up; it runs on Sundays from now on."),
    ("crm", "dynamics.client-secret-expired", 13, 176, 402, 401, "AADSTS7000222", EXPIRED, "New secret is ordered."),
    ("team-mail", "email.authentication-failed", 19, 95, 61, 535, "5.7.3", "Authentication unsuccessful", None),
    ("", "leadwire.worker-not-seen", 21, 12, 9, None, None, None, "Planned restart of the host."),
    ("sales", "salesforce.row-locked", 24, 3, 2, 400, "UNABLE_TO_LOCK_ROW", LOCKED, None),
    ("crm", "network.timeout", 26, 41, 118, None, None, None, None),
    ("table", "network.name-not-resolved", 33, 9, 20, None, None, None, None),
    ("", "leadwire.no-leads", 40, 1310, 0, None, None, None, "A holiday."),
)  # fmt: skip
ACTS = (
    ("reveal", "{lead} email,phone", "console:someone@contoso.com", "A customer asks whether we got the request"),
    ("check", "crm", OPERATOR, ""),
    ("replay", "{lead} sales", OPERATOR, "The rule now leaves marketplace leads alone"),
    ("acknowledge", "{problem}", SOMEONE, ""),
    ("step-done", "{problem} 1", SOMEONE, ""),
    ("discard", "{lead} sales", OPERATOR, "Twice in the org already"),
    ("reveal", "{lead} company", SOMEONE, "Which subsidiary is it?"),
    ("repair", "{lead}", OPERATOR, "A comma was missing"),
    ("release", "{lead}", OPERATOR, "A comma was missing"),
    ("send-test", "{lead}", "cli:operator", ""),
    ("check", "team-mail", "api:monitoring", ""),
    ("new-token", "monitoring", OPERATOR, "For the dashboard in the hall"),
    ("erase", "{lead}", OPERATOR, "The person asked for it in writing; " + "a reason may be very long, " * 4),
    ("sign-in", "operator", OPERATOR, ""),
    ("purge", '{"leads": 212, "quarantine": 4, "attempts": 861}', "cli:operator", "every night"),
)


def fill_desk(store: Store, *, now: int, keys: Sequence[tuple[str, str]]) -> None:
    """Put in everything but leads; `keys` are (source, key) of the configuration."""
    with store.write() as connection:
        open_ids = _problems(connection, now)
        _lanes(connection, now)
        connection.execute(audit.insert(), list(_acts(connection, open_ids[0], now)))
        connection.execute(checks.insert(), list(_checks(now)))
        connection.execute(tokens.insert(), list(_tokens(now)))
        for number, (source, key) in enumerate(keys):
            fingerprint = hashlib.sha256(key.encode()).hexdigest()[:12]
            used = {"fingerprint": fingerprint, "source": source, "last_used_at": now - number * 9 * DAY - MINUTE}
            connection.execute(key_uses.insert(), used)
        beat(connection, now=now)


def beat(connection: Connection, *, now: int) -> None:
    """Let a worker have been seen just now (ms), which is not there."""
    connection.execute(workers.delete())
    connection.execute(workers.insert(), {"name": "leads-1", "started_at": now - 2 * DAY, "seen_at": now})


def _problems(connection: Connection, now: int) -> list[str]:
    waiting = sa.select(deliveries.c.destination, sa.func.count()).where(deliveries.c.state == "due")
    number = {row[0]: row[1] for row in connection.execute(waiting.group_by(deliveries.c.destination))}
    rows = [
        _problem("crm", "dynamics.no-security-role", now - PARKED_MS, now - 2 * MINUTE, number.get("crm", 0),
                 (403, "0x80042f09", ROLE)),
        _problem("sales", "salesforce.validation-rule", now - DEAD_DAYS * DAY, now - PARKED_MS, 0,
                 (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", RULE)),
        _problem("team-mail", "email.throttled", now - THROTTLED_MS, now - MINUTE, number.get("team-mail", 0),
                 (451, "4.7.500", BUSY)),
    ]  # fmt: skip
    rows[1] |= {
        "acknowledged_at": now - 2 * DAY,
        "acknowledged_by": SOMEONE,
        "note": "The org's administrator changes the rule on Monday.",
        "done": json.dumps([1]),
    }
    for place, code, days, minutes, most, status, raw, text, said in HISTORY:
        opened = now - days * DAY - 3 * HOUR_MS
        closed = opened + minutes * MINUTE
        row = _problem(place, code, opened, closed, most, (status, raw, text)) | {"closed_at": closed}
        if said:
            row |= {"acknowledged_at": opened + 7 * MINUTE, "acknowledged_by": OPERATOR, "note": said}
        rows.append(row)
    for row in rows:
        connection.execute(problems.insert(), row)
    return [row["id"] for row in rows]


def _problem(
    place: str, code: str, opened: int, last: int, most: int, found: tuple[int | None, str | None, str | None]
) -> dict[str, Any]:
    status, raw, text = found
    row = {"id": id_at(opened, 0xFFFE0000), "destination": place, "code": code, "opened_at": opened, "last_at": last}
    return row | {"most_waiting": most, "status": status, "raw_code": raw, "evidence": text}


def _lanes(connection: Connection, now: int) -> None:
    parked = {"parked": True, "since": now - PARKED_MS, "code": "dynamics.no-security-role", "probes": 24}
    connection.execute(lanes.insert(), {"destination": "crm", **parked, "next_probe_at": now + 8 * MINUTE})
    used = (
        ("crm", 212, 6000, "requests in 5 minutes"),
        ("sales", 13_214, 15_000, "API calls in 24 hours"),
        ("team-mail", 17, 30, "single mails in an hour, then digests"),
    )
    for name, calls, allowed, of in used:
        values = {"calls_used": calls, "calls_allowed": allowed, "calls_of": of, "calls_at": now - 3 * MINUTE}
        connection.execute(throughput.update().where(throughput.c.destination == name).values(**values))


def _acts(connection: Connection, problem: str, now: int) -> Iterator[dict[str, Any]]:
    newest = sa.select(receipts.c.id).where(receipts.c.status == "accepted").order_by(receipts.c.received_at.desc())
    leads = list(connection.execute(newest.limit(40)).scalars())
    for number in range(160):
        action, target, actor, why = ACTS[number * 7 % len(ACTS)]
        at = now - (160 - number) * 97 * MINUTE
        target = target.replace("{lead}", leads[number % len(leads)]).replace("{problem}", problem)
        yield {"at": at, "actor": actor, "action": action, "target": target, "why": why}


def _checks(now: int) -> Iterator[dict[str, Any]]:
    found = (
        ("crm", 4, "dynamics.no-security-role", ROLE, OPERATOR),
        ("sales", 5, None, "signed in; may create leads", "cli:operator"),
        ("table", 5, None, "the table is there; may write", "cli:operator"),
        ("team-mail", 29, None, "signed in", "api:monitoring"),
    )
    for name, hours, code, detail, actor in found:
        yield {"destination": name, "at": now - hours * HOUR_MS, "code": code, "detail": detail, "actor": actor}


def _tokens(now: int) -> Iterator[dict[str, Any]]:
    long = "a name that somebody chose without thinking of those who have to read it in a narrow column"
    rows: tuple[tuple[str, str, int, int | None, int | None], ...] = (
        ("monitoring", "reader", 61, 2 * MINUTE, None),
        ("nightly-reconciliation", "operator", 40, 9 * HOUR_MS, None),
        (long, "reader", 12, None, None),
        ("old-dashboard", "reader", 170, 90 * DAY, 60),
    )
    for name, role, days, used, revoked in rows:
        made = now - days * DAY
        yield {
            "id": id_at(made, days),
            "name": name,
            "role": role,
            "hash": hashlib.sha256(name.encode()).digest(),
            "created_at": made,
            "created_by": OPERATOR,
            "last_used_at": None if used is None else now - used,
            "revoked_at": None if revoked is None else now - revoked * DAY,
        }
