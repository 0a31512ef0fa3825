"""Alerts from the failures of leads to a webhook, on both databases: how many go out, when, and what never does."""

import json
import multiprocessing
import threading

import pytest

from app.alerts.troubles import Troubles
from app.lead import Lead
from app.retry import Verdict
from app.store.alerts import AlertQueue
from app.store.problems import ProblemLog
from app.store.tables import inbox, meta
from tests.parts.alerting import (
    Clock,
    alert_settings,
    beat,
    listening_hook,
    look_from_elsewhere,
    problem_rows,
    watch_of,
)
from tests.parts.arrivals import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SOMEONE,
    arrival,
    dead,
    failed,
    held,
    id_of,
    keep,
    outbox,
    result,
    rows,
    settle,
    together,
)

PARKED = "azure_table.authentication-failed"


@pytest.fixture
def hook():
    with listening_hook() as made:
        yield made


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def world(store, hook, clock):
    """The store, the webhook, the clock and one watch beside a worker."""
    return World(store, hook, clock)


class World:
    def __init__(self, store, hook, clock):
        self.store, self.hook, self.clock = store, hook, clock
        self.settings = alert_settings(hook)
        self.watch = watch_of(store, self.settings, clock)
        self.count = 0

    def look(self, **later):
        self.clock.pass_(**later)
        return self.watch.look()

    def restart(self, **more):
        self.watch = watch_of(self.store, self.settings, self.clock, **more)

    def leads(self, number, *, to="table"):
        keep(self.store, *(arrival(self.count + n + 1, at=self.clock.at, to=[to]) for n in range(number)))
        self.count += number

    def settle(self, how, *, to="table", limit=1000):
        return settle(self.store, how, destination=to, limit=limit, now=self.clock.at)

    def park(self, leads=1, *, to="table"):
        self.leads(leads, to=to)
        self.settle(self.holding, to=to)

    def holding(self, claim):
        return result(claim, "due", due=self.clock.at, code=PARKED, verdict=Verdict.HOLD)

    def failing(self, claim):
        return failed(claim, due=self.clock.at + 1000)

    def sending(self, claim):
        return result(claim, "sent", due=self.clock.at)

    def mend(self, *, to="table"):
        """A probe at its time is green, and everything that waits is delivered."""
        box = outbox(self.store)
        self.clock.at = max(self.clock.at, box.lane(to, now=self.clock.at).next_at)
        assert box.take_probe(to, now=self.clock.at)
        box.record_probe(to, code=None, now=self.clock.at)
        while self.settle(self.sending, to=to):
            pass

    def recover(self):
        """What is retried is delivered."""
        self.clock.at += 2000
        assert self.settle(self.sending)


def test_a_thousand_failures_make_one_alert_and_one_recovery(world):
    world.park(1000)
    for _ in range(3):
        world.look(minutes=1)
    world.mend()
    for _ in range(3):
        world.look(minutes=1)

    assert world.hook.told() == [("opened", "table", PARKED), ("recovered", "table", PARKED)]
    opened, recovered = world.hook.got
    assert (opened["leads_waiting"], opened["dead"]) == (1000, 0)
    assert recovered["most_waiting"] == 1000
    assert recovered["lasted_ms"] == 4 * MINUTE


def test_a_thousand_dead_leads_make_one_alert_however_many_looks_and_restarts_lie_between(world):
    for _ in range(10):
        world.leads(100)
        world.settle(dead)
        world.restart()
        world.look(minutes=1)

    assert world.hook.told() == [("opened", "table", "azure_table.entity-too-large")]
    assert problem_rows(world.store)[0].most_waiting == 1000


def test_every_destination_and_every_cause_is_told_by_itself(world):
    world.park(2)
    world.leads(3, to="crm")
    world.settle(dead, to="crm", limit=1)
    world.settle(lambda claim: dead(claim, "dynamics.duplicate"), to="crm")
    world.look()

    assert sorted(world.hook.told()) == [
        ("opened", "crm", "azure_table.entity-too-large"),
        ("opened", "crm", "dynamics.duplicate"),
        ("opened", "table", PARKED),
    ]


def test_what_may_pass_by_itself_is_told_after_five_minutes(world):
    world.leads(4)
    world.settle(world.failing)
    world.look(minutes=4.9)
    assert world.hook.got == []

    world.look(minutes=0.1)
    assert world.hook.told() == [("opened", "table", "network.timeout")]


def test_what_passed_before_it_was_told_is_not_told_at_all(world):
    for _ in range(20):
        world.leads(1)
        world.settle(world.failing)
        world.look(minutes=1)
        world.recover()
        world.look(minutes=1)

    assert world.hook.got == []
    assert all(row.closed_at is not None for row in problem_rows(world.store))


def test_nothing_wrong_writes_nothing_to_the_store_but_the_lease(world):
    world.look()
    before = rows(world.store, meta)
    for _ in range(3):
        world.look(minutes=0.1)

    assert rows(world.store, meta) == before
    assert problem_rows(world.store) == []


# --- What lasts


def test_what_lasts_is_told_again_at_one_four_and_twenty_four_hours(world):
    world.park()
    world.look()
    kinds = []
    for _ in range(30):
        world.look(hours=1)
        kinds.append(world.hook.kinds().count("reminder"))

    assert [kinds[hour - 1] for hour in (1, 3, 4, 23, 24, 30)] == [1, 1, 2, 2, 3, 3]
    assert [one["lasted_ms"] // HOUR for one in world.hook.got[1:]] == [1, 4, 24]


def test_a_watch_that_slept_over_several_ages_reminds_once(world):
    world.park()
    world.look()
    world.look(hours=5)
    world.look(minutes=1)

    assert world.hook.kinds() == ["opened", "reminder"]


def test_what_somebody_takes_care_of_is_not_told_again_but_its_end_is(world):
    world.park()
    world.look()
    (row,) = problem_rows(world.store)
    ProblemLog(world.store).acknowledge(row.id, text="I ask for the new key.", now=world.clock.at, who=SOMEONE)
    for _ in range(30):
        world.look(hours=1)
    world.mend()
    world.look()

    assert world.hook.kinds() == ["opened", "recovered"]
    assert "new key" not in json.dumps(world.hook.got)


def test_a_problem_first_told_when_it_is_old_is_not_followed_by_its_reminders_at_once(world):
    world.watch = watch_of(world.store, alert_settings(None), world.clock)
    world.park()
    world.look()
    world.look(hours=5)
    world.restart()
    world.look(minutes=1)
    world.look(minutes=1)

    assert world.hook.kinds() == ["opened"]


# --- What comes and goes


def test_a_problem_that_comes_and_goes_all_day_makes_four_alerts(world):
    for _ in range(100):
        world.park()
        world.look(minutes=1)
        world.mend()
        world.look(minutes=1)
    assert world.hook.kinds() == ["opened", "recovered", "opened"]
    assert world.hook.got[2]["again"] is True

    world.look(minutes=16)
    world.look(minutes=1)
    assert world.hook.kinds() == ["opened", "recovered", "opened", "recovered"]
    assert len(problem_rows(world.store)) == 1


def test_a_problem_that_comes_back_later_is_a_new_one(world):
    for _ in range(2):
        world.park()
        world.look(minutes=1)
        world.mend()
        world.look(minutes=1)
        world.look(hours=1)

    assert world.hook.kinds() == ["opened", "recovered"] * 2
    assert world.hook.got[2]["again"] is False
    assert len(problem_rows(world.store)) == 2


def test_a_problem_that_returns_keeps_what_people_wrote_about_it(world):
    world.park()
    world.look(minutes=1)
    (row,) = problem_rows(world.store)
    ProblemLog(world.store).acknowledge(row.id, text="I ask for the new key.", now=world.clock.at, who=SOMEONE)
    world.mend()
    world.look()
    world.park()
    world.look(minutes=1)

    (again,) = problem_rows(world.store)
    assert (again.id, again.closed_at, again.note) == (row.id, None, "I ask for the new key.")


def test_one_cause_that_takes_the_place_of_another_is_not_told_as_a_recovery(world):
    """A parked destination whose probes run into this and that is mended only when all of it is over."""
    world.park()
    world.look()
    for code in ("network.refused", PARKED, "network.refused"):
        box = outbox(world.store)
        world.clock.at = box.lane("table", now=world.clock.at).next_at
        assert box.take_probe("table", now=world.clock.at)
        box.record_probe("table", code=code, now=world.clock.at)
        world.look()
    assert world.hook.kinds() == ["opened", "opened"]

    world.mend()
    world.look()
    world.look()
    assert sorted(world.hook.told()[2:]) == [("recovered", "table", PARKED), ("recovered", "table", "network.refused")]


def test_what_fails_while_the_watch_looks_is_not_closed(world):
    world.leads(1)
    world.settle(world.failing)
    world.look()
    known = world.watch._book.known(closed_since=0, now=world.clock.at)
    world.leads(1)
    world.clock.at += 1
    world.settle(world.failing)
    plan = world.watch._plan([], known, world.watch._rules(), world.clock.at)  # it saw nothing wrong
    assert world.watch._book.decide("host-1", [], plan, closed_since=0, now=world.clock.at) == []

    assert problem_rows(world.store)[0].closed_at is None


# --- Several, restarts and crashes


def test_several_watches_at_once_tell_once(store_url, opened, hook, clock):
    stores = [opened(store_url) for _ in range(4)]
    world = World(stores[0], hook, clock)
    world.park(10)
    watches = [watch_of(one, world.settings, clock, holder=f"host-{n}") for n, one in enumerate(stores)]
    gate = threading.Barrier(4)

    numbers = iter(range(4))

    def look():
        mine = next(numbers)
        gate.wait(10)
        return [watches[mine].look() for _ in range(5)]

    looked = together(4, look)
    assert sorted(any(one) for one in looked) == [False, False, False, True]
    world.mend()
    for watch in watches:
        watch.look()
    assert hook.kinds() == ["opened", "recovered"]


def test_another_takes_over_when_the_first_is_silent_and_tells_nothing_twice(world):
    world.park()
    world.look()
    other = watch_of(world.store, world.settings, world.clock, holder="host-2")
    assert not other.look()
    world.clock.pass_(minutes=1.1)
    assert other.look()
    assert not world.look()
    world.mend()
    world.clock.pass_(minutes=2)
    assert other.look()

    assert world.hook.kinds() == ["opened", "recovered"]


def test_who_lost_the_watch_while_looking_decides_nothing(world):
    world.park()
    assert watch_of(world.store, world.settings, world.clock, holder="host-2").look()
    world.leads(1, to="crm")
    world.settle(dead, to="crm")
    world.watch._decide(world.clock.at)

    assert world.hook.told() == [("opened", "table", PARKED)]


def test_a_lease_from_a_clock_gone_wrong_holds_nobody_up(world):
    world.clock.pass_(days=400)
    world.look()
    world.clock.pass_(days=-400)
    assert watch_of(world.store, world.settings, world.clock, holder="host-2").look()


def test_a_process_killed_while_it_sends_costs_a_second_copy_under_the_same_name_and_nothing_else(
    store_url, store, hook, clock
):
    world = World(store, hook, clock)
    world.park(3)
    hook.hold.clear()
    process = multiprocessing.get_context("spawn").Process(
        target=look_from_elsewhere, args=(store_url, hook.url, clock.at, 0)
    )
    process.start()
    while not hook.got:
        assert process.is_alive()
        process.join(0.02)
    process.kill()
    process.join(10)
    hook.hold.set()
    world.look(minutes=1)
    assert hook.kinds() == ["opened"]
    world.mend()
    world.look()  # its end waits behind it: nobody hears of an end before the beginning
    for _ in range(5):
        world.look(minutes=1)

    assert hook.kinds() == ["opened", "opened", "recovered"]
    assert hook.keys[0] == hook.keys[1] != hook.keys[2]


# --- What can't be sent


def test_what_a_channel_does_not_take_is_tried_again_after_growing_waits(world):
    world.hook.answer = lambda _: (503, {})
    world.park()
    times = []
    for _ in range(4 * 60):
        world.look(minutes=1)
        if len(times) < len(world.hook.got):
            times.append((world.clock.at - NOW) // MINUTE)
    # The reminder after an hour takes the opening's place, and begins afresh.
    assert times == [1, 2, 7, 22, 60, 61, 66, 81, 141, 201, 240]
    failing = AlertQueue(world.store).failing()["webhook"]
    assert (failing.number, failing.tries) == (1, 1)


def test_a_problem_that_is_over_before_anybody_could_be_told_is_not_told(world):
    world.hook.answer = lambda _: (503, {})
    world.park()
    world.look()
    world.hook.answer = lambda _: (200, {})
    world.mend()
    world.look(minutes=5)
    world.look(minutes=5)

    assert world.hook.kinds() == ["opened"]  # the one that was not taken
    assert AlertQueue(world.store).failing() == {}


def test_what_the_other_side_asks_for_is_waited(world):
    world.hook.answer = lambda _: (429, {"Retry-After": "1800"})
    world.park()
    world.look()
    world.look(minutes=29)
    assert len(world.hook.got) == 1
    world.look(minutes=1)
    assert len(world.hook.got) == 2


def test_a_restart_tries_at_once(world):
    world.hook.answer = lambda _: (404, {})
    world.park()
    world.look()
    world.hook.answer = lambda _: (200, {})
    world.restart()
    world.look(minutes=0.1)

    assert len(world.hook.got) == 2
    assert world.hook.keys[0] == world.hook.keys[1]


def test_that_alerts_fail_is_a_problem_of_its_own_and_over_by_itself(world):
    world.hook.answer = lambda _: (404, {})
    world.park()
    for _ in range(8):
        world.look(minutes=1)
    world.look(minutes=1)
    (row,) = problem_rows(world.store, code="leadwire.alerts-failing")
    assert (row.destination, row.closed_at) == ("", None)

    world.hook.answer = lambda _: (200, {})
    world.look(minutes=15)
    world.look(minutes=1)
    (row,) = problem_rows(world.store, code="leadwire.alerts-failing")
    assert row.closed_at is not None
    assert {one["code"] for one in world.hook.got} == {PARKED}  # never told where nothing arrives


def test_a_failure_is_logged_with_its_code_and_no_address(world, capsys):
    world.hook.answer = lambda _: (404, {})
    world.park()
    world.look()
    said = capsys.readouterr().out
    assert "leadwire.webhook-refused" in said
    assert "alert.failed" in said
    assert "a-secret-path" not in said


# --- Leadwire itself


def test_no_lead_for_seven_days_is_told_and_over_with_the_next_one(world):
    world.leads(1)
    world.settle(world.sending)
    for _ in range(7):
        world.look(days=1)
    assert world.hook.got == []
    world.look(minutes=1)
    world.look(minutes=1)
    assert world.hook.told() == [("opened", None, "leadwire.no-leads")]
    assert "2027-01-15" in world.hook.got[0]["text"]

    keep(world.store, arrival(99, at=world.clock.at, to=[], test=True))
    world.look(minutes=1)
    assert world.hook.kinds() == ["opened", "recovered"]


def test_a_store_that_never_had_a_lead_is_given_seven_days_too(world):
    world.look()
    world.look(days=6.9)
    assert world.hook.got == []
    world.look(days=0.2)
    assert world.hook.told() == [("opened", None, "leadwire.no-leads")]


def test_the_oldest_lead_that_waits_for_an_hour_is_told_with_its_destination(world):
    world.leads(3)
    world.look(minutes=60)
    assert world.hook.got == []
    world.look(minutes=1)
    assert world.hook.told() == [("opened", "table", "leadwire.oldest-waiting")]
    assert world.hook.got[0]["leads_waiting"] == 3
    world.settle(world.sending)
    world.look(minutes=1)
    assert world.hook.kinds() == ["opened", "recovered"]


def test_a_lead_whose_waiting_is_explained_is_not_told_as_late(world):
    world.park(3)
    for _ in range(4):
        world.look(hours=1)
    assert {one["code"] for one in world.hook.got} == {PARKED}


def test_an_old_lead_that_is_delivered_again_is_not_late(world):
    from app.store.acts import Acts

    world.leads(1)
    world.settle(world.sending)
    world.clock.pass_(days=3)
    acts = Acts(world.store)
    acts.replay([(id_of(1), "table", "sent")], now=world.clock.at, who=SOMEONE)
    world.look(minutes=59)
    assert world.hook.got == []
    world.look(minutes=2)
    assert world.hook.told() == [("opened", "table", "leadwire.oldest-waiting")]


def test_a_lead_that_its_destination_put_off_for_a_digest_is_not_late(world):
    world.leads(1)
    for _ in range(5):
        until = world.clock.at + 20 * MINUTE
        world.settle(lambda claim, until=until: result(claim, "due", due=until, attempted=False, verdict=Verdict.RETRY))
        world.look(minutes=20)
    assert world.hook.got == []
    world.settle(lambda claim: result(claim, "due", due=NOW + DAY, attempted=False, verdict=Verdict.RETRY))
    world.look(hours=1)
    assert world.hook.told() == [("opened", "table", "leadwire.oldest-waiting")]


def test_what_waits_for_a_destination_that_was_taken_out_is_told(world):
    world.leads(2, to="old-crm")
    world.look()
    world.look(hours=2)
    assert world.hook.told()[0] == ("opened", "old-crm", "leadwire.destination-removed")
    assert {one["code"] for one in world.hook.got} == {"leadwire.destination-removed"}


@pytest.mark.parametrize(
    ("setting", "later"),
    [("quiet_days", {"days": 30}), ("oldest_minutes", {"days": 1}), ("worker_minutes", {"days": 1})],
)
def test_a_limit_of_zero_is_off(world, setting, later):
    codes = {"quiet_days": "leadwire.no-leads", "oldest_minutes": "leadwire.oldest-waiting"}
    code = codes.get(setting, "leadwire.worker-not-seen")
    told = []
    Troubles(world.store, world.settings, {}).now(world.clock.at, beside_worker=False)  # somebody looks since now
    for value in (1, 0):
        others = {name: 0 for name in ("quiet_days", "oldest_minutes", "worker_minutes") if name != setting}
        limits = alert_settings(None, **others, **{setting: value})
        troubles = Troubles(world.store, limits, {"table": "azure_table"})
        world.leads(1)
        world.clock.pass_(**later)
        told.append([one.code for one in troubles.now(world.clock.at, beside_worker=False)])
    assert told == [[code], []]


def test_a_receiver_watches_only_while_no_worker_is_seen_and_says_so(world):
    beat(world.store, NOW)
    world.restart(holder="receiver", beside_worker=False)
    world.leads(7)
    assert not world.look()
    assert not world.look(minutes=1)
    assert world.look(minutes=1)
    assert world.hook.got == []
    world.look(minutes=4)
    assert world.hook.told() == [("opened", None, "leadwire.worker-not-seen")]
    assert world.hook.got[0]["leads_waiting"] == 7

    beat(world.store, world.clock.at)
    assert not world.look()
    world.restart()
    assert world.look(), "the receiver has let go of the watch"
    assert world.hook.kinds() == ["opened", "recovered"]


def test_what_no_worker_can_sort_in_is_told_and_over_once_it_is_gone(world):
    id_ = f"{NOW >> 16:08x}-{NOW & 0xFFFF:04x}-7000-8000-000000000001"
    with world.store.write() as connection:
        connection.execute(inbox.insert().values(id=id_, arrival=b"of a later version"))
    world.look(minutes=4)
    assert world.hook.told() == []
    world.look(minutes=2)
    assert world.hook.told() == [("opened", None, "leadwire.unsorted")]
    assert id_ in world.hook.got[0]["text"]
    with world.store.write() as connection:
        connection.execute(inbox.delete())
    world.look(minutes=1)
    assert world.hook.kinds() == ["opened", "recovered"]


def test_leads_that_wait_for_a_worker_are_not_late_besides(world):
    beat(world.store, NOW)
    world.restart(holder="receiver", beside_worker=False)
    world.leads(7)
    world.look()
    world.look(hours=2)
    assert world.hook.told() == [("opened", None, "leadwire.worker-not-seen")]


def test_a_receiver_that_starts_with_its_worker_does_not_take_a_worker_of_yesterday_for_a_dead_one(world):
    beat(world.store, NOW - DAY)
    world.restart(holder="receiver", beside_worker=False)
    assert not world.look()
    beat(world.store, world.clock.at + 1000)
    assert not world.look(minutes=0.9)
    assert world.hook.got == []


# --- Nobody to tell, nothing personal


def test_without_a_channel_the_remediation_log_is_kept_all_the_same(store, clock):
    watch = watch_of(store, alert_settings(None), clock)
    keep(store, arrival(1))
    settle(store, held)
    watch.look()
    (row,) = problem_rows(store)
    assert (row.most_waiting, row.alerted, row.closed_at) == (1, 0, None)


def test_no_alert_has_anything_of_a_lead_in_it(world):
    canary = "Zaphkiel"
    person = Lead(
        first_name=canary, last_name=canary, email=f"{canary}@contoso.com", phone=canary, company=canary, title=canary,
        offer_title=canary, description=canary, extra={"note": canary},
    )  # fmt: skip
    keep(world.store, *(arrival(n, lead=person, to=["table", "crm"]) for n in range(1, 4)))
    loud = {"raw_code": canary, "evidence": canary}
    world.settle(lambda claim: result(claim, "due", due=NOW, code=PARKED, verdict=Verdict.HOLD, **loud))
    world.settle(lambda claim: result(claim, "dead", code="uncatalogued", verdict=Verdict.DEAD, **loud), to="crm")
    world.look()
    world.look(hours=2)
    world.mend()
    world.look()

    assert len(world.hook.got) == 5
    assert canary.casefold() not in json.dumps(world.hook.got).casefold()


def test_what_is_wrong_can_be_asked_without_a_watch(world):
    world.park(2)
    (trouble,) = Troubles(world.store, world.settings, {"table": "azure_table"}).now(NOW, beside_worker=True)
    assert (trouble.destination, trouble.code, trouble.waiting, trouble.at_once) == ("table", PARKED, 2, True)


def test_the_watch_survives_a_fault_of_its_own_and_ends_when_asked(world, capsys):
    class BrokenError(Exception):
        pass

    looks = []

    def now():
        looks.append(1)
        stopping.set()
        raise BrokenError

    stopping = threading.Event()
    world.watch.now = now
    world.watch.run(stopping)

    assert looks == [1]
    said = capsys.readouterr().out
    assert "watch.crashed" in said
    assert "alerts/watch.py" in said
