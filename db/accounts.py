"""`Accounts`: who may use the worklist.

Every change is one transaction together with its line in the audit trail. Passwords come hashed;
what becomes of them at sign-in stands in `db.sign_ins`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from db.audit import Details, record_event
from db.columns import storable
from db.errors import AccountRefused
from db.session import reading, transaction
from db.states import Role
from db.tables import Account, WebSession

NAME_RULE = "1 to 64 of a-z, 0-9, dot, underscore, @ and hyphen"
BY_PROXY_ONLY = ""
"""In place of a password's hash: this account signs in by the reverse proxy only."""

_NAME = re.compile(r"[a-z0-9._@-]{1,64}")


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as administrators see it."""

    account_id: int
    name: str
    role: Role
    by_proxy_only: bool
    created_at: datetime
    disabled_at: datetime | None
    failed_sign_ins: int
    """In a row."""
    locked_until: datetime | None
    last_used_at: datetime | None
    """When a session of it was last used, to the minute; None: never."""

    def is_locked(self, now: datetime) -> bool:
        """Whether passwords are refused at this moment, right ones too."""
        return self.locked_until is not None and self.locked_until > now


class Accounts:
    """The accounts. Errors and clock as in `Ledger`; safe to share between threads.

    Whatever changes one raises AccountRefused if that cannot be. For the audit trail: `actor` is
    who asks, and `details` (from where) go with every line.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], datetime], details: Details | None = None
    ) -> None:
        """Connect to nothing yet."""
        self._engine = engine
        self._clock = clock
        self._details = details or {}

    def all(self) -> list[AccountRecord]:
        """All accounts, by name."""
        with reading(self._engine) as session:
            rows = session.scalars(select(Account).order_by(Account.name)).all()
            used = _last_uses(session)
            return [_record(row, used.get(row.id)) for row in rows]

    def find(self, name: str) -> AccountRecord | None:
        """One, by its name; None: there is none."""
        with reading(self._engine) as session:
            row = _by_name(session, name)
            return None if row is None else _record(row, _last_uses(session, row.id).get(row.id))

    def is_empty(self) -> bool:
        """Whether nobody can sign in, because nobody was ever added."""
        with reading(self._engine) as session:
            return session.scalar(select(Account.id).limit(1)) is None

    def add(self, name: str, role: Role, password_hash: str, actor: str) -> AccountRecord:
        """Enter somebody; a hash of BY_PROXY_ONLY: without a password."""
        _check_name(name)
        with transaction(self._engine) as session:
            if _by_name(session, name) is not None:
                raise AccountRefused(f"there is an account {name} already; `users list` shows it")
            row = Account(
                name=name, role=role, password_hash=password_hash, created_at=self._clock()
            )
            session.add(row)
            return self._told(session, row, actor, "account added", {"role": str(role)})

    def disable(self, name: str, actor: str) -> AccountRecord:
        """Refuse an account from now on; its sessions end. Not the last enabled administrator."""
        with transaction(self._engine) as session:
            admins = _enabled_admins(session)
            row = _to_change(session, name)
            if admins == [row.id]:
                raise AccountRefused(f"{name} is the only administrator left: add another first")
            row.disabled_at = row.disabled_at or self._clock()
            _end_sessions(session, row.id, self._clock())
            return self._told(session, row, actor, "account disabled")

    def enable(self, name: str, actor: str) -> AccountRecord:
        """Let a disabled account sign in again."""
        with transaction(self._engine) as session:
            row = _to_change(session, name)
            row.disabled_at = None
            return self._told(session, row, actor, "account enabled")

    def unlock(self, name: str, actor: str) -> AccountRecord:
        """Forget wrong passwords and the lock that they brought."""
        with transaction(self._engine) as session:
            row = _to_change(session, name)
            row.failed_sign_ins, row.locked_until = 0, None
            return self._told(session, row, actor, "account unlocked")

    def set_password(self, name: str, password_hash: str, actor: str) -> AccountRecord:
        """Set another password: unlocks the account and ends its sessions."""
        with transaction(self._engine) as session:
            row = _to_change(session, name)
            row.password_hash = password_hash
            row.failed_sign_ins, row.locked_until = 0, None
            _end_sessions(session, row.id, self._clock())
            return self._told(session, row, actor, "password reset")

    def end_sessions(self, name: str, actor: str) -> AccountRecord:
        """Sign an account out everywhere."""
        with transaction(self._engine) as session:
            row = _to_change(session, name)
            _end_sessions(session, row.id, self._clock())
            return self._told(session, row, actor, "sessions ended")

    def _told(
        self,
        session: Session,
        row: Account,
        actor: str,
        action: str,
        details: Details | None = None,
    ) -> AccountRecord:
        complete = {**self._details, **(details or {})}
        record_event(session, actor, action, row.name, complete, self._clock())
        session.flush()
        return _record(row, _last_uses(session, row.id).get(row.id))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AccountRefused(f"{name!r} cannot be an account's name: {NAME_RULE}")


def _by_name(session: Session, name: str) -> Account | None:
    return session.scalar(select(Account).where(Account.name == storable(name)))


def _to_change(session: Session, name: str) -> Account:
    row = session.scalar(
        select(Account)
        .where(Account.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise AccountRefused(f"there is no account {name}; `fracture-screen users list` shows all")
    return row


def _enabled_admins(session: Session) -> list[int]:
    """Their ids, locked in one order: two administrators cannot disable each other at once."""
    wanted = select(Account.id).where(Account.role == Role.ADMIN, Account.disabled_at.is_(None))
    return list(session.scalars(wanted.order_by(Account.id).with_for_update()))


def _end_sessions(session: Session, account_id: int, now: datetime) -> None:
    session.execute(
        update(WebSession)
        .where(WebSession.account_id == account_id, WebSession.expires_at > now)
        .values(expires_at=now)
        .execution_options(synchronize_session=False)
    )


def _last_uses(session: Session, account_id: int | None = None) -> dict[int, datetime]:
    latest = select(WebSession.account_id, func.max(WebSession.last_used_at))
    if account_id is not None:
        latest = latest.where(WebSession.account_id == account_id)
    rows = session.execute(latest.group_by(WebSession.account_id))
    return {row[0]: row[1] for row in rows}


def _record(row: Account, last_used_at: datetime | None) -> AccountRecord:
    return AccountRecord(
        account_id=row.id,
        name=row.name,
        role=row.role,
        by_proxy_only=row.password_hash == BY_PROXY_ONLY,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        failed_sign_ins=row.failed_sign_ins,
        locked_until=row.locked_until,
        last_used_at=last_used_at,
    )
