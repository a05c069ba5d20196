"""What was purged and when; files that are decided to go and not known to be gone yet."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply the step."""
    for table in ("instance", "result_object", "sweep"):
        # By ADD COLUMN alone: on SQLite `batch` drops the table, and other rows hang on its rows.
        op.add_column(table, sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "doomed_file",
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("doomed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_doomed_file_study_id")),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_doomed_file")),
    )
    op.create_index("ix_doomed_file_study_id", "doomed_file", ["study_id"])
