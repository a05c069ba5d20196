"""Everything that `db` raises on purpose.

LedgerError
├── LedgerUnavailable   the database cannot be used now; trying again later may help
├── LedgerInconsistent  the database refused what was to be stored; trying again does not help
├── LedgerOutOfDate     the tables are older or newer than this version of the program
├── ModelMoveRefused    a model may not be used for that: see LEGAL_MODEL_MOVES
├── ReviewRefused       a review names what the ledger does not know
├── SweepRefused        a sweep is not known, or not in a state that allows it
├── CorrectionRefused   a study or a quarantined file cannot be corrected as asked
└── AccountRefused      an account cannot be entered or changed
"""


class LedgerError(Exception):
    """Root of all errors of `db`."""


class LedgerUnavailable(LedgerError):
    """The database cannot be reached, is locked, or its disk is full: nothing was stored."""


class LedgerInconsistent(LedgerError):
    """A constraint of the tables refused the row: nothing was stored."""


class LedgerOutOfDate(LedgerError):
    """The tables do not belong to this version of the program."""


class ModelMoveRefused(LedgerError):
    """A model is not in a state that allows it; the message says which it is in and what to do."""


class ReviewRefused(LedgerError):
    """A review cannot be recorded; the message names the instance."""


class SweepRefused(LedgerError):
    """What was asked of a sweep cannot be done; the message says why."""


class AccountRefused(LedgerError):
    """An account cannot be entered or changed; the message says why and what to do."""


class CorrectionRefused(LedgerError):
    """A study or a quarantined file cannot be corrected as asked; the message says what to do."""
