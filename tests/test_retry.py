"""When again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.retry import LONGEST_RETRY_AFTER, Decision, Verdict, decide, horizon, probe_wait

SCHEDULE = [timedelta(seconds=s) for s in (0, 5, 300, 1800)]
NOW = timedelta()


@pytest.mark.parametrize(
    ("verdict", "tries", "retry_after", "expected"),
    [
        (Verdict.RETRY, 0, None, Decision("due", timedelta(seconds=5), 1)),
        (Verdict.RETRY, 1, None, Decision("due", timedelta(minutes=5), 2)),
        (Verdict.RETRY, 2, None, Decision("due", timedelta(minutes=30), 3)),
        (Verdict.RETRY, 3, None, Decision("dead", NOW, 4)),
        (Verdict.RETRY, 99, None, Decision("dead", NOW, 100)),
        (Verdict.RETRY, 0, 60.0, Decision("due", timedelta(seconds=60), 1)),
        (Verdict.RETRY, 0, 1.0, Decision("due", timedelta(seconds=5), 1)),
        (Verdict.RETRY, 0, -5.0, Decision("due", timedelta(seconds=5), 1)),
        (Verdict.RETRY, 0, 1e9, Decision("due", timedelta(days=1), 1)),
        (Verdict.RETRY, 3, 60.0, Decision("dead", NOW, 4)),
        (Verdict.HOLD, 0, 60.0, Decision("due", NOW, 0)),
        (Verdict.HOLD, 99, None, Decision("due", NOW, 99)),
        (Verdict.DEAD, 0, 60.0, Decision("dead", NOW, 1)),
        (Verdict.DONE, 2, None, Decision("sent", NOW, 2)),
    ],
)
def test_what_a_verdict_means(verdict, tries, retry_after, expected):
    longest = decide(verdict, tries=tries, schedule=SCHEDULE, retry_after=retry_after, jitter=lambda: 1.0)
    assert longest == expected


WAITS = st.lists(st.timedeltas(min_value=NOW, max_value=timedelta(days=3)), min_size=1, max_size=12)
ASKED = st.none() | st.floats(min_value=-1e6, max_value=1e9)


@given(WAITS, st.integers(0, 15), ASKED, st.floats(0, 1, exclude_max=True))
@hypothesis_settings(deadline=None, max_examples=300)
def test_a_wait_is_within_the_schedule_unless_the_system_asked_for_more(schedule, tries, asked, chance):
    decision = decide(Verdict.RETRY, tries=tries, schedule=schedule, retry_after=asked, jitter=lambda: chance)
    if tries + 1 >= len(schedule):
        assert decision == Decision("dead", NOW, tries + 1)
        return
    demanded = min(timedelta(seconds=max(0.0, asked or 0.0)), LONGEST_RETRY_AFTER)
    assert decision.state == "due"
    assert demanded <= decision.wait <= max(schedule[tries + 1], demanded)
    assert decision.wait <= horizon(schedule)


@given(WAITS)
@hypothesis_settings(deadline=None, max_examples=50)
def test_patience_ends_after_as_many_attempts_as_the_schedule_has_waits(schedule):
    tries, attempts = 0, 1
    while (decision := decide(Verdict.RETRY, tries=tries, schedule=schedule)).state == "due":
        tries, attempts = decision.tries, attempts + 1
    assert attempts == len(schedule)


def test_waits_are_spread_over_the_whole_step():
    waits = {decide(Verdict.RETRY, tries=2, schedule=SCHEDULE).wait for _ in range(200)}
    assert min(waits) < timedelta(minutes=10)
    assert max(waits) > timedelta(minutes=20)


def test_a_parked_destination_is_probed_less_and_less_and_then_every_quarter_of_an_hour():
    assert [probe_wait(probes) // timedelta(minutes=1) for probes in (*range(7), 1000)] == [1, 2, 5, 10, *[15] * 4]
