"""Instances that were discarded or accepted as another's patient; studies held for two patients."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_HELD = "superseded_at IS NULL AND identity_conflict"


def upgrade() -> None:
    """Apply the step."""
    # By ADD COLUMN alone: on SQLite `batch` drops the table, and other rows hang on its rows.
    op.add_column("instance", sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("instance", sa.Column("patient_of", sa.String(64), nullable=True))
    op.add_column(
        "analysis",
        sa.Column("identity_conflict", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_analysis_identity_conflict",
        "analysis",
        ["id"],
        sqlite_where=sa.text(_HELD),
        postgresql_where=sa.text(_HELD),
    )
