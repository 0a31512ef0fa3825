"""The store beside a plain model: whatever is done to it in whatever order, both say the same."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.retry import Verdict
from app.store.acts import Acts, Selection
from app.store.desk import alerts, arrivals, problems, throughput
from app.store.outbox import Outbox
from app.store.sorting import GROUP, Sorter
from app.store.tables import (
    State,
    Status,
    attempts,
    deliveries,
    duplicate_keys,
    lanes,
    quarantine,
    receipts,
    workers,
)
from app.store.tables import inbox as inbox_table
from tests.parts.arrivals import DAY, NOW, SOMEONE, arrival, inbox, result, unreadable

EXAMPLES = int(os.environ.get("LEADWIRE_EXAMPLES", "40"))
LEASE = 180_000
WORKERS = ("worker-1", "worker-2")
NAMES = ("crm", "table")
EMPTIED = (
    alerts, problems, attempts, deliveries, quarantine, receipts, inbox_table, duplicate_keys, lanes, workers, arrivals,
    throughput,
)  # fmt: skip
WAITING = {State.DUE, State.SENDING}


@dataclass
class Owed:
    """A delivery as the model has it."""

    due: int
    state: str = State.DUE
    tries: int = 0
    claims: int = 0
    worker: str | None = None


@dataclass
class Model:
    """What there should be."""

    now: int = NOW
    unsorted: dict = field(default_factory=dict)  # id → (status, destinations, received_at)
    receipts: dict = field(default_factory=dict)  # id → [status, received_at]
    owed: dict = field(default_factory=dict)  # (id, destination) → Owed
    keys: dict = field(default_factory=dict)  # key → (id, seen_at)
    parked: set = field(default_factory=set)
    seen: dict = field(default_factory=dict)  # worker → its last sign of life
    arrived: Counter = field(default_factory=Counter)
    sent: Counter = field(default_factory=Counter)

    def sort(self, number=None):
        for id_ in sorted(self.unsorted)[:number]:
            status, names, at = self.unsorted.pop(id_)
            self.receipts[id_] = [status, at]
            self.arrived[status] += 1
            self.owed |= {(id_, name): Owed(due=at) for name in names}

    def claimable(self, name):
        return {
            id_: one
            for (id_, where), one in self.owed.items()
            if where == name and one.state in WAITING and one.due <= self.now
        }

    def settled(self, id_):
        waits = any(one.state in WAITING for (mine, _), one in self.owed.items() if mine == id_)
        return self.receipts[id_][0] != Status.QUARANTINED and not waits

    def forget(self, ids):
        for id_ in ids:
            del self.receipts[id_]
        self.owed = {key: one for key, one in self.owed.items() if key[0] not in ids}


class Machine(RuleBasedStateMachine):
    """Every act on the store, each also on the model."""

    store = None

    def __init__(self):
        super().__init__()
        with self.store.write() as connection:
            for table in EMPTIED:
                connection.execute(table.delete())
        self.model = Model()
        self.door = inbox(self.store)
        self.acts = Acts(self.store)
        self.sorter = Sorter(self.store)
        span = {"lease": timedelta(milliseconds=LEASE), "horizon": timedelta(days=400)}
        self.boxes = {name: Outbox(self.store, worker=name, **span) for name in WORKERS}
        self.held = []  # (worker, destination, claim): also those whose lease is long over
        self.count = 0

    def _first(self, key, id_):
        """Who came first with this key, in the model; the newcomer itself if nobody."""
        if key in self.model.keys and self.model.keys[key][1] > self.model.now - DAY:
            return self.model.keys[key][0]
        self.model.keys[key] = (id_, self.model.now)
        return id_

    @rule(
        keys=st.lists(st.sampled_from([None, b"a" * 16, b"b" * 16]), min_size=1, max_size=4),
        names=st.sampled_from([("crm",), ("crm", "table"), ()]),
        later=st.booleans(),
    )
    def take_in(self, keys, names, later):
        came, expected = [], []
        for key in keys:
            self.count += 1
            one = arrival(self.count, at=self.model.now, to=sorted(names), duplicate_key=key)
            first = one.id if key is None else self._first(key, one.id)
            duplicate = first != one.id
            status = Status.DUPLICATE if duplicate else Status.ACCEPTED
            self.model.unsorted[one.id] = (status, () if duplicate else names, self.model.now)
            came.append(one)
            expected.append(first if duplicate else None)
        kept = self.door.keep([self.door.letter(one) for one in came])
        assert [(one.first, one.failure) for one in kept] == [(first, None) for first in expected]
        if not later:
            self.sort()

    @rule()
    def take_in_what_is_no_lead(self):
        self.count += 1
        one = unreadable(self.count, at=self.model.now)
        assert self.door.put(one).id == one.id
        self.model.unsorted[one.id] = (Status.QUARANTINED, (), self.model.now)
        self.model.sort()

    @precondition(lambda self: self.model.unsorted)
    @rule()
    def sort(self):
        assert self.sorter.sort() == min(len(self.model.unsorted), GROUP)
        self.model.sort(GROUP)

    @precondition(lambda self: self.model.owed)
    @rule(worker=st.sampled_from(WORKERS), name=st.sampled_from(NAMES), limit=st.integers(1, 4))
    def claim(self, worker, name, limit):
        there = self.model.claimable(name)
        claims = self.boxes[worker].claim(name, limit=limit, now=self.model.now)
        taken = {claim.receipt_id for claim in claims}
        assert len(taken) == len(claims) == min(limit, len(there))
        assert taken <= there.keys()
        left = [one.due for id_, one in there.items() if id_ not in taken]
        assert max((there[id_].due for id_ in taken), default=0) <= min(left, default=self.model.now)
        for claim in claims:
            one = there[claim.receipt_id]
            assert (claim.number, claim.tries) == (one.claims + 1, one.tries)
            one.state, one.claims, one.worker, one.due = State.SENDING, claim.number, worker, self.model.now + LEASE
            self.held.append((worker, name, claim))

    @precondition(lambda self: self.held)
    @rule(what=st.sampled_from(["sent", "again"]), which=st.integers(0, 99))
    def record_after_another_claimed_it(self, what, which):
        """A worker sleeps past its lease, and another claims what it had."""
        which %= len(self.held)
        worker, name, _ = self.held[which]
        self.pass_time(LEASE + 1)
        self.claim(next(one for one in WORKERS if one != worker), name, 100)
        self.record(what, which)

    @precondition(lambda self: self.held)
    @rule(what=st.sampled_from(["sent", "again", "dead", "held"]), which=st.integers(0, 99))
    def record(self, what, which):
        worker, name, claim = self.held.pop(which % len(self.held))
        now, more = self.model.now, {}
        state, tries = (State.SENT if what == "sent" else State.DEAD if what == "dead" else State.DUE), claim.tries
        if what != "sent":
            verdict = {"again": Verdict.RETRY, "dead": Verdict.DEAD, "held": Verdict.HOLD}[what]
            tries += what != "held"
            more = {"code": f"crm.{what}", "verdict": verdict, "tries": tries}
        due = now + 10_000 if what == "again" else now
        kept = self.boxes[worker].record(name, [result(claim, state, due=due, **more)], now=now)
        one = self.model.owed.get((claim.receipt_id, name))
        stands = one is not None and one.state == State.SENDING and one.claims == claim.number
        assert len(kept) == stands
        if not stands:
            return
        one.state, one.due, one.tries = state, due, tries
        self.model.sent[name] += what == "sent"
        if what == "held":
            self.model.parked.add(name)

    @rule(span=st.sampled_from([1_000, 20_000, LEASE + 1, DAY + 1]))
    def pass_time(self, span):
        self.model.now += span

    @rule(worker=st.sampled_from(WORKERS))
    def start(self, worker):
        """A worker of this name died, and the next one begins; the other's name is free too, so it is dead."""
        seen, now = self.model.seen, self.model.now
        dead = {worker} | {one for one, at in seen.items() if at <= now - self.store.silent_ms}
        freed = [one for one in self.model.owed.values() if one.state == State.SENDING and one.worker in dead]
        assert self.boxes[worker].start(now=now) == len(freed)
        for one in freed:
            one.state, one.due = State.DUE, now
        for name in dead:
            seen.pop(name, None)
        seen[worker] = now

    @precondition(lambda self: self.model.parked)
    @rule(green=st.booleans())
    def probe(self, green):
        name = min(self.model.parked)
        self.boxes[WORKERS[0]].record_probe(name, code=None if green else "crm.held", now=self.model.now)
        if green:
            self.model.parked.discard(name)

    @precondition(lambda self: self.model.owed)
    @rule(states=st.sets(st.sampled_from([State.DUE, State.DEAD, State.DISCARDED]), min_size=1))
    def replay(self, states):
        found = self._found(states)
        assert self.acts.replay(found, now=self.model.now, who=SOMEONE) == len(found)
        for id_, name, _ in found:
            one = self.model.owed[id_, name]
            one.state, one.due, one.tries = State.DUE, self.model.now, 0
        touched = {name for _, name, _ in found}
        for (_, name), one in self.model.owed.items():
            if name in touched and one.state == State.DUE and one.tries:
                one.due = min(one.due, self.model.now)

    @precondition(lambda self: self.model.owed)
    @rule(states=st.sets(st.sampled_from([State.DUE, State.DEAD]), min_size=1))
    def discard(self, states):
        found = self._found(states)
        assert self.acts.discard(found, now=self.model.now, who=SOMEONE) == len(found)
        for id_, name, _ in found:
            self.model.owed[id_, name].state = State.DISCARDED

    def _found(self, states):
        """Select in the store what the model has too."""
        found = self.acts.find(Selection(states=tuple(sorted(states))))
        erased = {id_ for id_, (status, _) in self.model.receipts.items() if status == Status.ERASED}
        mine = {(*key, str(one.state)) for key, one in self.model.owed.items() if one.state in states}
        assert set(found) == {one for one in mine if one[0] not in erased}
        return found

    @precondition(lambda self: self.model.receipts)
    @rule(which=st.integers(0, 99))
    def erase(self, which):
        self.sorter.finish()
        self.model.sort()
        id_ = sorted(self.model.receipts)[which % len(self.model.receipts)]
        self.acts.erase([id_], now=self.model.now, who=SOMEONE)
        self.model.receipts[id_][0] = Status.ERASED
        self.model.keys = {key: owner for key, owner in self.model.keys.items() if owner[0] != id_}
        for (mine, _), one in self.model.owed.items():
            if mine == id_ and one.state != State.SENT:
                one.state = State.DISCARDED

    @precondition(lambda self: Status.QUARANTINED in {status for status, _ in self.model.receipts.values()})
    @rule(released=st.booleans(), names=st.sets(st.sampled_from(NAMES)))
    def decide_about_quarantined(self, released, names):
        now = self.model.now
        id_ = next(id_ for id_, (status, _) in self.model.receipts.items() if status == Status.QUARANTINED)
        if released:
            assert self.acts.release(id_, arrival(0, at=now, to=sorted(names), id=id_), now=now, who=SOMEONE)
            self.model.owed |= {(id_, name): Owed(due=now) for name in names}
        else:
            assert self.acts.discard_quarantined([id_], now=now, who=SOMEONE) == 1
        self.model.receipts[id_][0] = Status.ACCEPTED if released else Status.DISCARDED

    @precondition(lambda self: self.model.receipts)
    @rule(age=st.sampled_from([0, LEASE, DAY]))
    def purge(self, age):
        self.sorter.finish()
        self.model.sort()
        edge = self.model.now - age
        self.acts.purge(leads=edge, tests=edge, bodies=edge, tries=edge, keys=edge, now=self.model.now, who=SOMEONE)
        gone = {
            id_
            for id_, (status, at) in self.model.receipts.items()
            if at < edge and (status == Status.QUARANTINED or self.model.settled(id_))
        }
        self.model.forget(gone)
        self.model.keys = {key: owner for key, owner in self.model.keys.items() if owner[1] >= edge}

    @invariant()
    def they_agree(self):
        model, columns = self.model, deliveries.c
        with self.store.read() as connection:

            def rows(*selected):
                return [tuple(row) for row in connection.execute(sa.select(*selected))]

            assert {id_ for (id_,) in rows(inbox_table.c.id)} == set(model.unsorted)
            kept = {id_: str(status) for id_, (status, _) in model.receipts.items()}
            assert dict(rows(receipts.c.id, receipts.c.status)) == kept
            assert {id_ for (id_,) in rows(quarantine.c.id)} == {
                id_ for id_, status in kept.items() if status == Status.QUARANTINED
            }
            there = rows(*deliveries.primary_key.columns, columns.state, columns.due_at, columns.tries, columns.claims)
            waiting = {row for row in there if row[2] in WAITING}
            assert waiting == {
                (*key, str(one.state), one.due, one.tries, one.claims)
                for key, one in model.owed.items()
                if one.state in WAITING
            }
            assert {row[:3] for row in there} == {(*key, str(one.state)) for key, one in model.owed.items()}
            assert {name for name, parked in rows(lanes.c.destination, lanes.c.parked) if parked} == model.parked
            assert +Counter(dict(rows(throughput.c.destination, throughput.c.sent))) == +model.sent
            counted = Counter()
            for status, number in rows(arrivals.c.status, arrivals.c.number):
                counted[status] += number
            assert counted == Counter({str(status): number for status, number in model.arrived.items()})


def test_the_store_does_what_a_plain_model_does(store):
    class OnStore(Machine):
        pass

    OnStore.store = store
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        OnStore,
        settings=settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=checks),
    )
