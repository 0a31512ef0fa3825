"""What alerts say: enough on a telephone, whole sentences, the same in every form, and nothing of a lead."""

from types import SimpleNamespace

import pytest

from app.alerts import words
from app.alerts.troubles import Trouble
from app.alerts.words import Words
from app.catalogue.entry import OWNERS
from tests.parts.alerting import CATALOGUE, KINDS, LINK
from tests.parts.arrivals import DAY, HOUR, MINUTE, NOW

CODE = "azure_table.authentication-failed"


def said(kind="opened", *, again=False, age=5 * HOUR, link=LINK, most=3, code=CODE, destination="table", **trouble):
    row = SimpleNamespace(
        id="01a1fbc1-0000-7000-8000-000000000000", destination=destination, code=code, opened_at=NOW - age,
        most_waiting=most,
    )  # fmt: skip
    wrong = None if kind == "recovered" else Trouble(destination=destination, code=code, since=NOW - age, **trouble)
    return Words(CATALOGUE.get, KINDS, link=link, now=NOW)(kind, row, wrong, again=again)


TITLE = CATALOGUE.get(CODE).title


@pytest.mark.parametrize(
    ("alert", "subject"),
    [
        (said(waiting=12), f"Leadwire: table: {TITLE} (12 leads waiting)"),
        (said(waiting=1, dead=2), f"Leadwire: table: {TITLE} (1 lead waiting, 2 leads dead)"),
        (said(), f"Leadwire: table: {TITLE}"),
        (said(waiting=12, again=True), f"Leadwire: back again: table: {TITLE} (12 leads waiting)"),
        (said("reminder", waiting=12), f"Leadwire: still after 5 hours: table: {TITLE} (12 leads waiting)"),
        (said("recovered"), f"Leadwire: over after 5 hours: table: {TITLE}"),
        (said(code="leadwire.no-leads", destination=""), "Leadwire: No lead has come for days"),
        (words.trial(LINK), "Leadwire: This is a trial: alerts of Leadwire arrive here"),
    ],
)
def test_a_subject_says_where_what_and_how_many(alert, subject):
    assert words.subject(alert) == subject


def test_an_opening_has_cause_first_steps_owner_and_link():
    entry = CATALOGUE.get(CODE)
    text = words.plain(said(waiting=12, next_try=NOW + MINUTE))

    assert text.startswith("The destination table is in trouble.\n\nProblem: ")
    for part in (entry.cause, entry.remedy[0], "table (azure_table)", "12 leads waiting", CODE, LINK):
        assert part in text
    assert "Since: 2027-01-15 03:00 UTC" in text
    assert "Next try: 2027-01-15 08:01 UTC" in text
    assert "Who acts: " in text
    assert len(entry.remedy) > words.STEPS
    assert entry.remedy[words.STEPS] not in text
    assert f"{len(entry.remedy) - words.STEPS} more step" in text


def test_a_recovery_says_how_long_and_how_many_and_has_no_remedy():
    text = words.plain(said("recovered", most=1000))

    assert text.startswith("The destination table is well again: it lasted 5 hours, and 1000 leads waited at most.")
    assert CATALOGUE.get(CODE).remedy[0] not in text
    assert "Who acts" not in text


def test_what_is_wrong_with_leadwire_itself_says_what_was_seen():
    alert = said(code="leadwire.no-leads", destination="", evidence="The last one came 2027-01-08T08:00:00.000Z.")
    assert "Seen: The last one came 2027-01-08T08:00:00.000Z." in words.plain(alert)
    assert "Destination: Leadwire" in words.plain(alert)


def test_a_destination_that_is_no_longer_configured_is_named_as_such():
    alert = said(code="leadwire.destination-removed", destination="old-crm", waiting=1)
    assert "Destination: old-crm (not in the settings)" in words.plain(alert)


def test_without_a_console_the_command_is_named_and_no_address():
    text = words.plain(said(waiting=1, link=None))
    assert "https://leads" not in text
    assert "`leadwire problems`" in text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (-5, "less than a minute"), (59_999, "less than a minute"), (MINUTE, "1 minute"), (5 * MINUTE, "5 minutes"),
        (HOUR, "1 hour"), (HOUR + 5 * MINUTE, "1 hour 5 minutes"), (25 * HOUR, "1 day 1 hour"),
        (2 * DAY + MINUTE, "2 days"), (DAY + 2 * HOUR + MINUTE, "1 day 2 hours"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_said_in_its_two_largest_units(span, text):
    assert words.duration(span) == text


@pytest.mark.parametrize("owner", OWNERS)
def test_whoever_acts_is_named_in_words(owner):
    alert = said(waiting=1) | {"owner": owner}
    assert dict(words.facts(alert))["Who acts"] != owner


@pytest.mark.parametrize("entry", [one for one in CATALOGUE if one.kind == "leadwire"], ids=lambda entry: entry.code)
def test_everything_of_our_own_can_be_told(entry):
    text = words.plain(said(code=entry.code, destination=""))
    assert entry.title in text
    assert entry.remedy[0] in text
