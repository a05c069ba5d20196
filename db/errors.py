"""Everything that `db` raises on purpose.

LedgerError
├── LedgerUnavailable   the database cannot be used now; trying again later may help
├── LedgerInconsistent  the database refused what was to be stored; trying again does not help
└── LedgerOutOfDate     the tables are older or newer than this version of the program
"""


class LedgerError(Exception):
    """Root of all errors of `db`."""


class LedgerUnavailable(LedgerError):
    """The database cannot be reached, is locked, or its disk is full: nothing was stored."""


class LedgerInconsistent(LedgerError):
    """A constraint of the tables refused the row: nothing was stored."""


class LedgerOutOfDate(LedgerError):
    """The tables do not belong to this version of the program."""
