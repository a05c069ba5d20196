"""Registrations of several threads in one transaction: one fsync of the database serves them all.

Nobody waits for company: whoever comes while a transaction commits is in the next one.
"""

import threading
from dataclasses import dataclass

from db.errors import LedgerError
from db.ledger import Ledger
from db.records import NewInstance, Registration


@dataclass(slots=True, eq=False)
class _Entry:
    instance: NewInstance
    registration: Registration | None = None
    error: LedgerError | None = None

    @property
    def done(self) -> bool:
        return self.registration is not None or self.error is not None


class GroupCommit:
    """`register_instance` as the ledger's, from several threads at once with fewer commits."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Entry] = []
        self._list_lock = threading.Lock()
        self._turn = threading.Lock()

    def register_instance(self, instance: NewInstance) -> Registration:
        """As `Ledger.register_instance`: returns once it is committed, or raises."""
        entry = _Entry(instance)
        with self._list_lock:
            self._waiting.append(entry)
        with self._turn:
            if not entry.done:
                self._commit_all_that_wait()
        if entry.error is not None:
            raise entry.error
        assert entry.registration is not None  # noqa: S101  # for the type checker: it is done
        return entry.registration

    def _commit_all_that_wait(self) -> None:
        with self._list_lock:
            entries, self._waiting = self._waiting, []
        # The same order everywhere, so that two processes never wait for each other's rows.
        entries.sort(key=lambda each: (each.instance.study_instance_uid, each.instance.sha256))
        if len(entries) > 1:
            try:
                found = self._ledger.register_together([each.instance for each in entries])
            except LedgerError:
                pass  # one of them is in the way of the others: each by itself tells which
            else:
                for entry, registration in zip(entries, found, strict=True):
                    entry.registration = registration
                return
        for entry in entries:
            try:
                entry.registration = self._ledger.register_instance(entry.instance)
            except LedgerError as error:
                entry.error = error
