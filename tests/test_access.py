"""The door: passwords and their waits, sessions, tokens, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app.access import HASHED, Access, Refused, Session, hash_password
from app.cli import main
from app.settings import Secret
from app.store.acts import Who
from app.store.desk import sessions, sign_in_tries, tokens
from app.store.tables import audit
from tests.parts.arrivals import NOW

PASSWORD = "a password for tests"
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"
MAKER = Who("cli:someone", "for the dashboard")


class Clock:
    def __init__(self):
        self.moment = datetime.fromtimestamp(NOW / 1000, UTC)

    def __call__(self):
        return self.moment

    def later(self, **span):
        self.moment += timedelta(**span)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def door(store, clock):
    return Access(store, Secret(PASSWORD), clock)


def another(door, password=PASSWORD, *, entra=""):
    """The door as another process has it, perhaps after a change of the settings."""
    return Access(door.store, Secret(password), door.now, entra)


def guess(door, times, *, address=HOME):
    return [door.sign_in("not it", address=address) for _ in range(times)]


def actions(store):
    with store.read() as connection:
        return list(connection.execute(sa.select(audit.c.action).order_by(audit.c.id)).scalars())


def everything_kept(store):
    """All that a thief of the database would have of sign-ins, as bytes."""
    with store.read() as connection:
        rows = [row for one in (sessions, sign_in_tries, tokens, audit) for row in connection.execute(sa.select(one))]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)


def test_the_right_password_opens_a_session_of_an_operator_and_is_seen_in_the_audit(door):
    cookie = door.sign_in(PASSWORD, address=HOME)
    assert door.session(cookie) == Session("console:operator", "operator")
    assert actions(door.store) == ["sign-in"]


def test_a_session_opened_by_one_process_holds_at_every_other(door):
    assert another(door).session(door.sign_in(PASSWORD, address=HOME)) is not None


def test_four_wrong_passwords_wait_for_nothing_and_the_fifth_waits_a_minute(door):
    assert [one.wait_seconds for one in guess(door, 5)] == [0, 0, 0, 0, 60]
    assert actions(door.store) == ["sign-in-refused"]


def test_while_an_address_waits_even_the_right_password_is_not_looked_at(door, clock):
    guess(door, 5)
    clock.later(seconds=20)
    assert door.sign_in(PASSWORD, address=HOME) == Refused(40, looked=False)
    assert another(door).sign_in(PASSWORD, address=HOME) == Refused(40, looked=False)
    clock.later(seconds=40)
    assert isinstance(door.sign_in(PASSWORD, address=HOME), str)


def test_the_wait_doubles_with_each_further_wrong_password_up_to_an_hour(door, clock):
    waits = []
    for _ in range(12):
        waits.append(guess(door, 1)[0].wait_seconds)
        clock.later(seconds=waits[-1])
    assert waits == [0, 0, 0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_the_right_password_and_a_quiet_day_each_forget_the_wrong_ones(door, clock):
    guess(door, 4)
    door.sign_in(PASSWORD, address=HOME)
    assert [one.wait_seconds for one in guess(door, 4)] == [0, 0, 0, 0]
    clock.later(hours=24, seconds=1)
    assert [one.wait_seconds for one in guess(door, 5)] == [0, 0, 0, 0, 60]


def test_an_address_that_waits_stops_no_other(door):
    guess(door, 5)
    assert isinstance(door.sign_in(PASSWORD, address=ELSEWHERE), str)


@pytest.mark.parametrize(
    ("one", "other", "waits"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("not an address", "not an address", True),
    ],
)
def test_addresses_of_one_ipv6_network_are_counted_as_one(door, one, other, waits):
    guess(door, 5, address=one)
    assert isinstance(door.sign_in(PASSWORD, address=other), Refused) is waits


def test_tries_that_come_at_once_do_not_outrun_the_count(door):
    with ThreadPoolExecutor(20) as pool:
        given = list(pool.map(lambda _: door.sign_in("not it", address=HOME), range(20)))
    assert sum(one.looked for one in given) == 5


def test_first_sign_ins_of_a_process_that_come_at_once_all_get_an_answer(door):
    with ThreadPoolExecutor(12) as pool:
        given = list(pool.map(lambda n: door.sign_in(PASSWORD, address=f"192.0.2.{n}"), range(12)))
    assert all(door.session(cookie) for cookie in given)


def test_guessing_from_many_addresses_makes_strangers_wait_and_not_who_signed_in_from_there(store, clock):
    door = Access(store, Secret(hash_cheaply(PASSWORD)), clock)
    door.sign_in(PASSWORD, address=HOME)
    given = [door.sign_in("not it", address=f"203.0.113.{number}") for number in range(100)]
    assert given[:99] == [Refused(0)] * 99
    assert given[99] == Refused(60)
    assert door.sign_in(PASSWORD, address=ELSEWHERE) == Refused(60, looked=False)
    assert isinstance(door.sign_in(PASSWORD, address=HOME), str)
    clock.later(seconds=60)
    assert isinstance(door.sign_in(PASSWORD, address=ELSEWHERE), str)


def test_guessing_never_makes_strangers_wait_longer_than_a_minute(store, clock):
    door = Access(store, Secret(hash_cheaply(PASSWORD)), clock)
    for number in range(110):
        assert door.sign_in("not it", address=f"203.0.113.{number}").wait_seconds <= 60
        clock.later(seconds=60)


def test_a_wait_that_was_written_while_the_clock_was_years_ahead_does_not_lock_anybody_out(door, clock):
    clock.later(days=3650)
    guess(door, 5)
    clock.later(days=-3650)
    assert isinstance(door.sign_in(PASSWORD, address=HOME), str)


def hash_cheaply(password):
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(password)


def test_a_configured_hash_takes_its_password_and_not_itself(door):
    hashed = hash_password(PASSWORD)
    hardened = another(door, hashed)
    assert isinstance(hardened.sign_in(PASSWORD, address=HOME), str)
    assert hardened.sign_in(hashed, address=HOME) == Refused(0)


@pytest.mark.parametrize("given", ["", "not it", "\x00", "\ud800", "ü" * 5000])
def test_without_a_password_configured_nothing_opens(store, clock, given):
    assert isinstance(Access(store, None, clock).sign_in(given, address=HOME), Refused)


@pytest.mark.parametrize("given", ["", PASSWORD + " ", PASSWORD.upper(), "\x00", "\ud800", "ü" * 5000])
def test_what_is_not_quite_the_password_does_not_open(door, given):
    assert door.sign_in(given, address=HOME) == Refused(0)


def test_a_session_ends_after_twelve_hours(door, clock):
    cookie = door.sign_in(PASSWORD, address=HOME)
    clock.later(hours=12, milliseconds=-1)
    assert door.session(cookie) is not None
    clock.later(milliseconds=1)
    assert door.session(cookie) is None


def test_signing_out_ends_that_session_and_no_other(door):
    mine, other = door.sign_in(PASSWORD, address=HOME), door.sign_in(PASSWORD, address=HOME)
    door.sign_out(mine)
    door.sign_out(mine)
    assert door.session(mine) is None
    assert door.session(other) is not None
    assert actions(door.store).count("sign-out") == 1


def test_another_password_or_another_hash_of_it_ends_the_sessions_opened_before(door):
    cookie = door.sign_in(PASSWORD, address=HOME)
    assert another(door, "a new password").session(cookie) is None
    assert another(door, hash_password(PASSWORD)).session(cookie) is None
    assert Access(door.store, None, door.now).session(cookie) is None
    assert door.session(cookie) is not None


def test_another_way_to_sign_in_ends_the_sessions_opened_before(door):
    through_entra = another(door, entra="tenant application")
    by_password = door.sign_in(PASSWORD, address=HOME)
    by_entra = through_entra.open_session("console:someone@contoso.com", "reader")
    assert through_entra.session(by_entra) == Session("console:someone@contoso.com", "reader")
    assert through_entra.session(by_password) is None
    assert another(door, entra="tenant another").session(by_entra) is None
    assert door.session(by_entra) is None


def test_through_entra_no_password_opens(door):
    assert another(door, entra="tenant application").sign_in(PASSWORD, address=HOME) == Refused(0)


@pytest.mark.parametrize("cookie", ["", "x", "\ud800", "\x00", "a" * 10_000])
def test_a_made_up_cookie_is_nobodys(door, cookie):
    door.sign_in(PASSWORD, address=HOME)
    assert door.session(cookie) is None
    door.sign_out(cookie)


def test_nothing_that_is_kept_shows_a_password_a_cookie_a_token_or_an_address(door):
    guess(door, 5, address=ELSEWHERE)
    cookie = door.sign_in(PASSWORD, address=HOME)
    _, token = door.new_token("dashboard", "reader", who=MAKER)
    kept = everything_kept(door.store)
    for secret in (PASSWORD, "not it", cookie, token, token.removeprefix("lw_"), HOME, ELSEWHERE):
        assert secret.encode() not in kept


def test_sessions_that_ended_and_tries_long_ago_are_deleted_at_the_next_sign_in(door, clock):
    guess(door, 1, address=ELSEWHERE)
    door.sign_in(PASSWORD, address=HOME)
    clock.later(days=31)
    door.sign_in(PASSWORD, address="192.0.2.9")
    with door.store.read() as connection:
        left = [
            connection.execute(sa.select(sa.func.count()).select_from(one)).scalar()
            for one in (sessions, sign_in_tries)
        ]
    assert left == [1, 1]


def test_a_token_is_known_by_its_text_alone_with_its_name_and_role(door):
    id_, text = door.new_token("dashboard", "reader", who=MAKER)
    found = door.verify_token(text)
    assert (found.id, found.name, found.role) == (id_, "dashboard", "reader")
    assert text.startswith("lw_")
    assert another(door).verify_token(text) == found
    for wrong in ("", text[:-1], text + "x", text.removeprefix("lw_"), id_, "\ud800"):
        assert door.verify_token(wrong) is None


def test_a_revoked_token_is_refused_and_can_not_be_revoked_again(door):
    id_, text = door.new_token("dashboard", "reader", who=MAKER)
    _, kept = door.new_token("ci", "operator", who=MAKER)
    assert door.revoke_token(id_, who=MAKER)
    assert door.verify_token(text) is None
    assert door.verify_token(kept) is not None
    assert not door.revoke_token(id_, who=MAKER)
    assert not door.revoke_token("no such", who=MAKER)
    assert actions(door.store) == ["token-made", "token-made", "token-revoked"]


def test_when_a_token_was_used_is_noted_once_a_minute(door, clock):
    _, text = door.new_token("dashboard", "reader", who=MAKER)
    assert door.tokens()[0]["last_used_at"] is None
    noted = []
    for seconds in (0, 59, 1):
        clock.later(seconds=seconds)
        door.verify_token(text)
        noted.append(door.tokens()[0]["last_used_at"])
    assert noted[0] == noted[1] < noted[2]


def test_the_list_of_tokens_says_who_made_them_and_never_their_texts(door):
    id_, text = door.new_token("dashboard", "reader", who=MAKER)
    (listed,) = door.tokens()
    assert (listed["id"], listed["name"], listed["role"], listed["created_by"]) == (
        id_,
        "dashboard",
        "reader",
        "cli:someone",
    )
    assert text not in str(listed)


def test_what_hash_password_prints_lets_that_password_in(door):
    done = CliRunner().invoke(main, ["hash-password"], input=f"{PASSWORD}\n")
    printed = done.stdout.strip()
    assert done.exit_code == 0
    assert printed.startswith(HASHED)
    assert PASSWORD not in done.output
    assert isinstance(another(door, printed).sign_in(PASSWORD, address=HOME), str)


@pytest.mark.parametrize("typed", ["", "\n", "   \n"])
def test_hash_password_makes_no_hash_of_nothing(typed):
    done = CliRunner().invoke(main, ["hash-password"], input=typed)
    assert done.exit_code == 1
    assert "$argon2" not in done.output
    assert "empty" in done.output
