"""Patient and study as they were sent, for reports without files; reasons of failures in words."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_MISSING = "The stored file is missing."
_INTERNAL = "Internal error. The log of the worker says where."
_ENDED = "The screening process ended or took too long."
_MOVES = (
    ("screening broke with FileNotFoundError%", _MISSING),
    ("screening broke with %", _INTERNAL),
    ("gave up after % the worker died or ran out of time", _ENDED),
    ("the worker died or ran out of time", _ENDED),
)


def upgrade() -> None:
    """Apply the step."""
    op.add_column("study_header", sa.Column("elements", sa.LargeBinary(), nullable=True))
    study = sa.table("study", sa.column("failure_reason", sa.String()))
    analysis = sa.table(
        "analysis", sa.column("reason", sa.String()), sa.column("outcome", sa.String())
    )
    for pattern, words in _MOVES:
        op.execute(
            sa.update(study)
            .where(study.c.failure_reason.like(pattern))
            .values(failure_reason=words)
        )
        op.execute(
            sa.update(analysis)
            .where(analysis.c.outcome == "FAILED", analysis.c.reason.like(pattern))
            .values(reason=words)
        )
