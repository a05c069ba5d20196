"""`WebSessions`: how a sign-in begins, lasts and ends.

Whether a password admits is decided in the transaction that begins the session, or that counts the
failure: guesses made at once all count, and a session never begins on an account that was locked,
disabled or given another password meanwhile. Tokens stand nowhere: only their SHA-256.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Engine,
    Select,
    and_,
    case,
    delete,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased

from db.accounts import BY_PROXY_ONLY
from db.audit import Details, record_event
from db.columns import UtcDateTime, storable
from db.session import reading, transaction
from db.states import Role
from db.tables import Account, WebSession

UNKNOWN_ACTOR = "unknown"
"""In the audit trail, who gives a name that is none of ours: people type passwords there."""

_TOUCH = timedelta(minutes=1)
_TIDIED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is checked against. `password_hash` is for nobody else."""

    account_id: int
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class LockRule:
    """So many wrong passwords in a row lock an account for so long."""

    failures: int
    lock: timedelta


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A session ends so long after its last request, and so long after its begin in any case."""

    idle: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session in force, and whose it is."""

    account_id: int
    name: str
    role: Role
    csrf_token: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just begun: `token` is told this once."""

    token: str
    record: SessionRecord


class WebSessions:
    """Sign-ins of browsers. Errors and clock as in `Ledger`; safe to share between threads.

    `details` go into the audit trail with the sign-in: from where, and how.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime], lifetime: Lifetime) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock
        self._lifetime = lifetime

    def credentials(self, name: str) -> Credentials | None:
        """What the password of a name is checked against; None: no such account, or by proxy."""
        wanted = select(Account.id, Account.name, Account.password_hash).where(
            Account.name == storable(name), Account.password_hash != BY_PROXY_ONLY
        )
        with reading(self._engine) as session:
            row = session.execute(wanted).one_or_none()
            return None if row is None else Credentials(*row)

    def refuse(self, credentials: Credentials | None, rule: LockRule, details: Details) -> None:
        """Record a wrong password, and lock the account when it is one too many.

        While locked nothing is counted: guessing cannot lock somebody out for longer. None: the
        name is none of ours, and is not recorded.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            if credentials is None:
                name, reason = UNKNOWN_ACTOR, "unknown name"
            else:
                name, reason = credentials.name, _count_failure(session, credentials, rule, now)
            _tell_refusal(session, name, reason, details, now)

    def begin(self, credentials: Credentials, details: Details) -> NewSession | None:
        """Begin a session after a right password, and forget wrong ones.

        None: the account is locked or disabled, or its password was changed meanwhile.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            row = session.get(Account, credentials.account_id, with_for_update=True)
            if row is None or row.password_hash != credentials.password_hash:
                return None
            if row.disabled_at is not None or _is_locked(row, now):
                reason = "disabled" if row.disabled_at is not None else "locked"
                _tell_refusal(session, row.name, reason, details, now)
                return None
            row.failed_sign_ins, row.locked_until = 0, None
            return self._begin(session, row, details, now)

    def begin_by_proxy(self, name: str, details: Details) -> NewSession | None:
        """Begin a session for whom a trusted proxy names; None: no such account, or disabled.

        A lock does not count here: it stops guessing of passwords, and the proxy checks its own.
        """
        now = self._clock()
        with transaction(self._engine) as session:
            wanted = select(Account).where(Account.name == storable(name))
            row = session.scalar(wanted.with_for_update())
            if row is None or row.disabled_at is not None:
                known = UNKNOWN_ACTOR if row is None else row.name
                reason = "unknown name" if row is None else "disabled"
                _tell_refusal(session, known, reason, details, now)
                return None
            return self._begin(session, row, details, now)

    def rehash(self, credentials: Credentials, password_hash: str) -> None:
        """Keep the same password under newer parameters, unless it was changed meanwhile."""
        with transaction(self._engine) as session:
            session.execute(
                update(Account)
                .where(
                    Account.id == credentials.account_id,
                    Account.password_hash == credentials.password_hash,
                )
                .values(password_hash=password_hash)
                .execution_options(synchronize_session=False)
            )

    def find(self, token: str, *, used: bool = True) -> SessionRecord | None:
        """The session of a token; None: unknown, ended, expired, or its account is disabled.

        `used`: it is in use, which is written down once a minute at most.
        """
        now, key = self._clock(), _digest(token)
        with reading(self._engine) as session:
            found = session.execute(self._in_force(key, now)).one_or_none()
        if found is None:
            return None
        if used and now - found.last_used_at >= min(_TOUCH, self._lifetime.idle / 4):
            self._touch(key, now)
        return SessionRecord(found.account_id, found.name, found.role, found.csrf_token)

    def end(self, token: str, details: Details | None = None) -> None:
        """Sign out; nothing happens if the session has ended already."""
        now, key = self._clock(), _digest(token)
        with transaction(self._engine) as session:
            found = session.execute(self._in_force(key, now)).one_or_none()
            if found is None:
                return
            session.execute(
                update(WebSession)
                .where(WebSession.token_sha256 == key)
                .values(expires_at=now, last_used_at=now)
            )
            record_event(session, found.name, "signed out", found.name, details or {}, now)

    def tidy(self) -> int:
        """Remove expired sessions, all but each account's last one; return how many."""
        with transaction(self._engine) as session:
            return self._tidy(session, self._clock())

    def _begin(self, session: Session, row: Account, details: Details, now: datetime) -> NewSession:
        self._tidy(session, now)
        token, csrf_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session.add(
            WebSession(
                token_sha256=_digest(token),
                account_id=row.id,
                csrf_token=csrf_token,
                created_at=now,
                last_used_at=now,
                expires_at=now + self._lifetime.longest,
            )
        )
        record_event(session, row.name, "signed in", row.name, details, now)
        return NewSession(token, SessionRecord(row.id, row.name, row.role, csrf_token))

    def _in_force(self, key: str, now: datetime) -> Select[int, str, Role, str, datetime]:
        return (
            select(
                WebSession.account_id,
                Account.name,
                Account.role,
                WebSession.csrf_token,
                WebSession.last_used_at,
            )
            .join(Account, Account.id == WebSession.account_id)
            .where(
                WebSession.token_sha256 == key,
                WebSession.expires_at > now,
                WebSession.last_used_at > now - self._lifetime.idle,
                Account.disabled_at.is_(None),
            )
        )

    def _touch(self, key: str, now: datetime) -> None:
        with transaction(self._engine) as session:
            session.execute(
                update(WebSession)
                .where(WebSession.token_sha256 == key, WebSession.last_used_at < now)
                .values(last_used_at=now)
            )

    def _tidy(self, session: Session, now: datetime) -> int:
        """The last one of an account stays: it says when the account was last used."""
        later = aliased(WebSession)
        newer = select(later.token_sha256).where(
            later.account_id == WebSession.account_id,
            or_(
                later.last_used_at > WebSession.last_used_at,
                and_(
                    later.last_used_at == WebSession.last_used_at,
                    later.token_sha256 > WebSession.token_sha256,
                ),
            ),
        )
        over = or_(
            WebSession.expires_at <= now, WebSession.last_used_at <= now - self._lifetime.idle
        )
        some = select(WebSession.token_sha256).where(over, newer.exists()).limit(_TIDIED_AT_ONCE)
        gone = session.execute(
            delete(WebSession)
            .where(WebSession.token_sha256.in_(some))
            .returning(WebSession.token_sha256)
            .execution_options(synchronize_session=False)
        )
        return len(gone.all())


def _count_failure(
    session: Session, credentials: Credentials, rule: LockRule, now: datetime
) -> str:
    """One statement; returns what the audit trail says."""
    expired = and_(Account.locked_until.is_not(None), Account.locked_until <= now)
    failures = case((expired, 1), else_=Account.failed_sign_ins + 1)
    locks: ColumnElement[bool] = failures >= rule.failures
    until = literal(now + rule.lock, UtcDateTime())
    counted = session.execute(
        update(Account)
        .where(
            Account.id == credentials.account_id,
            or_(Account.locked_until.is_(None), Account.locked_until <= now),
        )
        .values(failed_sign_ins=failures, locked_until=case((locks, until), else_=None))
        .returning(Account.locked_until)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if counted is None:
        return "locked"
    return "wrong password" if counted.locked_until is None else "wrong password, now locked"


def _is_locked(row: Account, now: datetime) -> bool:
    return row.locked_until is not None and row.locked_until > now


def _tell_refusal(
    session: Session, name: str, reason: str, details: Details, now: datetime
) -> None:
    record_event(session, name, "sign-in refused", name, {**details, "reason": reason}, now)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
