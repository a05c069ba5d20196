"""Accounts and sessions in the ledger: lock-out, expiry, ends, and decisions under concurrency."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, func, select

from db.accounts import BY_PROXY_ONLY, Accounts
from db.audit import Trail, Wanted
from db.errors import AccountRefused
from db.session import transaction
from db.states import Role
from db.tables import WebSession
from db.web_sessions import Credentials, Lifetime, LockRule, NewSession, WebSessions
from tests.unit.db.ledger_factories import ManualClock

pytest_plugins = ("tests.servers.postgresql", "tests.servers.databases")

RULE = LockRule(failures=3, lock=timedelta(minutes=15))
LIFETIME = Lifetime(idle=timedelta(minutes=30), longest=timedelta(hours=12))
ACTOR = "root@machine"


class Bench:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = ManualClock()
        self.accounts = Accounts(engine, self.clock)
        self.sessions = WebSessions(engine, self.clock, LIFETIME)
        self.accounts.add("anna", Role.READER, "hash of anna's", ACTOR)

    @property
    def credentials(self) -> Credentials:
        found = self.sessions.credentials("anna")
        assert found is not None
        return found

    def guess_wrongly(self, times: int) -> None:
        for _ in range(times):
            self.sessions.refuse(self.credentials, RULE, {})

    def begin(self) -> NewSession:
        begun = self.sessions.begin(self.credentials, {})
        assert begun is not None
        return begun

    def failures(self) -> int:
        found = self.accounts.find("anna")
        assert found is not None
        return found.failed_sign_ins

    def reasons(self) -> list[str]:
        events = Trail(self.engine, self.clock).all(Wanted(action="sign-in refused"))
        return [event.details["reason"] for event in events]

    def rows(self) -> int:
        with transaction(self.engine) as session:
            return session.scalar(select(func.count()).select_from(WebSession)) or 0


@pytest.fixture
def bench(ledger_engine: Engine) -> Bench:
    return Bench(ledger_engine)


def at_once(number: int, act: Callable[[int], object]) -> list[object]:
    barrier = Barrier(number)

    def run(index: int) -> object:
        barrier.wait()
        return act(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def test_wrong_passwords_in_a_row_lock_and_the_right_one_is_refused_until_the_lock_ends(
    bench: Bench,
) -> None:
    bench.guess_wrongly(2)
    bench.begin()
    assert bench.failures() == 0
    bench.guess_wrongly(3)
    assert bench.sessions.begin(bench.credentials, {}) is None
    bench.clock.forward(RULE.lock - timedelta(seconds=1))
    assert bench.sessions.begin(bench.credentials, {}) is None
    bench.clock.forward(timedelta(seconds=1))
    bench.begin()
    assert bench.reasons() == [
        *["wrong password"] * 4,
        "wrong password, now locked",
        "locked",
        "locked",
    ]


def test_guessing_at_a_locked_account_does_not_keep_it_locked(bench: Bench) -> None:
    bench.guess_wrongly(3)
    bench.clock.forward(RULE.lock / 2)
    bench.guess_wrongly(10)
    bench.clock.forward(RULE.lock / 2)
    bench.begin()


def test_after_a_lock_has_ended_counting_begins_anew(bench: Bench) -> None:
    bench.guess_wrongly(3)
    bench.clock.forward(RULE.lock)
    bench.guess_wrongly(1)
    assert bench.failures() == 1
    bench.begin()


def test_guesses_at_once_all_count(bench: Bench) -> None:
    credentials, rule = bench.credentials, LockRule(100, RULE.lock)
    at_once(12, lambda _: bench.sessions.refuse(credentials, rule, {}))
    assert bench.failures() == 12


def test_of_guesses_at_once_no_right_one_comes_through_after_the_lock(bench: Bench) -> None:
    credentials = bench.credentials
    at_once(6, lambda _: bench.sessions.refuse(credentials, RULE, {}))
    assert bench.sessions.begin(credentials, {}) is None
    assert bench.reasons().count("wrong password, now locked") == 1
    assert bench.failures() == 3


def test_a_session_does_not_begin_on_a_password_changed_since_it_was_checked(
    bench: Bench,
) -> None:
    checked = bench.credentials
    bench.accounts.set_password("anna", "another hash", ACTOR)
    assert bench.sessions.begin(checked, {}) is None


def test_a_token_is_found_and_stored_nowhere(bench: Bench) -> None:
    begun = bench.begin()
    found = bench.sessions.find(begun.token)
    assert found == begun.record
    assert bench.sessions.find(begun.token + "x") is None
    assert bench.sessions.find("\0\ud800") is None
    with transaction(bench.engine) as session:
        assert session.scalar(select(WebSession.token_sha256)) != begun.token


def test_a_session_ends_when_idle_and_when_old(bench: Bench) -> None:
    idle, used = bench.begin(), bench.begin()
    for _ in range(23):
        bench.clock.forward(timedelta(minutes=29))
        assert bench.sessions.find(used.token) is not None
    assert bench.sessions.find(idle.token) is None
    bench.clock.forward(timedelta(minutes=29))
    assert bench.sessions.find(used.token) is not None
    bench.clock.forward(timedelta(minutes=24))
    assert bench.sessions.find(used.token) is None  # 12 hours after its begin, used or not


def test_a_page_left_open_keeps_no_session(bench: Bench) -> None:
    begun = bench.begin()
    for _ in range(29):
        bench.clock.forward(timedelta(minutes=1))
        assert bench.sessions.find(begun.token, used=False) is not None
    bench.clock.forward(timedelta(minutes=1))
    assert bench.sessions.find(begun.token, used=False) is None


def test_use_is_written_down_once_a_minute_at_most(bench: Bench) -> None:
    begun, start = bench.begin(), bench.clock.now
    bench.clock.forward(timedelta(seconds=59))
    bench.sessions.find(begun.token)
    assert bench.accounts.all()[0].last_used_at == start
    bench.clock.forward(timedelta(seconds=1))
    bench.sessions.find(begun.token)
    assert bench.accounts.all()[0].last_used_at == start + timedelta(minutes=1)


@pytest.mark.parametrize("end", ["disable", "end_sessions", "set_password"])
def test_sessions_die_at_once_with_their_account_or_its_password(bench: Bench, end: str) -> None:
    tokens = [bench.begin().token for _ in range(2)]
    if end == "set_password":
        bench.accounts.set_password("anna", "another", ACTOR)
    else:
        getattr(bench.accounts, end)("anna", ACTOR)
    assert [bench.sessions.find(token) for token in tokens] == [None, None]


def test_a_disabled_account_is_refused_until_it_is_enabled(bench: Bench) -> None:
    bench.accounts.disable("anna", ACTOR)
    assert bench.sessions.begin(bench.credentials, {}) is None
    assert bench.sessions.begin_by_proxy("anna", {}) is None
    bench.accounts.enable("anna", ACTOR)
    bench.begin()


def test_signing_out_ends_that_session_only_and_once(bench: Bench) -> None:
    first, second = bench.begin(), bench.begin()
    bench.sessions.end(first.token)
    bench.sessions.end(first.token)
    assert bench.sessions.find(first.token) is None
    assert bench.sessions.find(second.token) is not None
    events = Trail(bench.engine, bench.clock).all(Wanted(action="signed out"))
    assert len(list(events)) == 1


def test_tidying_keeps_each_accounts_last_session_for_its_last_use(bench: Bench) -> None:
    bench.begin()
    bench.clock.forward(timedelta(minutes=10))
    bench.begin()
    last = bench.clock.now
    bench.clock.forward(timedelta(days=3))
    assert bench.sessions.tidy() == 1
    assert bench.rows() == 1
    assert bench.accounts.all()[0].last_used_at == last
    bench.begin()
    bench.begin()
    assert bench.rows() == 2  # the expired one went with the next sign-in


def test_every_change_is_a_line_of_the_trail(bench: Bench) -> None:
    for change in ("disable", "enable", "unlock", "end_sessions"):
        getattr(bench.accounts, change)("anna", ACTOR)
    bench.accounts.set_password("anna", "another", ACTOR)
    lines = Trail(bench.engine, bench.clock).all(Wanted())
    assert [(line.actor, line.action, line.subject) for line in lines] == [
        (ACTOR, action, "anna")
        for action in (
            "account added",
            "account disabled",
            "account enabled",
            "account unlocked",
            "sessions ended",
            "password reset",
        )
    ]


@pytest.mark.parametrize("name", ["", "Anna", "an na", "a" * 65, "ännchen", "anna\n", "<b>"])
def test_a_name_of_other_letters_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(AccountRefused, match="cannot be an account's name"):
        bench.accounts.add(name, Role.READER, "hash", ACTOR)


def test_a_second_account_of_a_name_is_refused(bench: Bench) -> None:
    with pytest.raises(AccountRefused, match="already"):
        bench.accounts.add("anna", Role.ADMIN, "hash", ACTOR)
    assert [one.role for one in bench.accounts.all()] == [Role.READER]


def test_what_is_asked_of_nobody_is_refused_and_leaves_no_line(bench: Bench) -> None:
    with pytest.raises(AccountRefused, match="users list"):
        bench.accounts.unlock("nobody", ACTOR)
    assert bench.accounts.find("nobody\0") is None
    assert len(list(Trail(bench.engine, bench.clock).all(Wanted()))) == 1


def test_two_administrators_cannot_disable_each_other_at_once(bench: Bench) -> None:
    names = ["boss", "chief"]
    for name in names:
        bench.accounts.add(name, Role.ADMIN, "hash", ACTOR)

    def disable_the_other(index: int) -> bool:
        try:
            bench.accounts.disable(names[index], names[1 - index])
        except AccountRefused:
            return False
        return True

    assert sorted(at_once(2, disable_the_other)) == [False, True]
    enabled = [one for one in bench.accounts.all() if one.disabled_at is None]
    assert Role.ADMIN in {one.role for one in enabled}


def test_an_account_without_a_password_signs_in_by_the_proxy_only(bench: Bench) -> None:
    bench.accounts.add("chen", Role.READER, BY_PROXY_ONLY, ACTOR)
    assert bench.sessions.credentials("chen") is None
    assert bench.sessions.begin_by_proxy("chen", {}) is not None
    assert bench.sessions.begin_by_proxy("nobody", {}) is None


def test_pages_of_the_trail_hold_each_line_once(bench: Bench) -> None:
    trail = Trail(bench.engine, bench.clock)
    for number in range(25):
        trail.note(f"Reader{number % 2}", "opened study", f"1.2.{number}", {})
    newest = trail.page(Wanted(actor="reader1"), 5)
    older = trail.page(Wanted(actor="reader1"), 20, before=newest[-1].event_id)
    assert [one.subject for one in newest + older] == [f"1.2.{n}" for n in range(23, 0, -2)]
    assert [one.subject for one in trail.all(Wanted(action="opened study"), page_size=7)] == [
        f"1.2.{n}" for n in range(25)
    ]
    assert trail.page(Wanted(subject="%"), 5) == []
    assert trail.page(Wanted(actor="\0"), 5) == []


def test_a_period_of_the_trail_excludes_its_end(bench: Bench) -> None:
    trail, start = Trail(bench.engine, bench.clock), bench.clock.now
    for day in range(3):
        bench.clock.now = start + timedelta(days=day)
        trail.note("x", "did", str(day), {})
    wanted = Wanted("did", since=start + timedelta(days=1), until=start + timedelta(days=2))
    assert [one.subject for one in trail.all(wanted)] == ["1"]
