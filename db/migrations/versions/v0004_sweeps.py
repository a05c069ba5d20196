"""Sweeps, the studies that they find, and which studies and analyses they brought."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply the step."""
    _create_sweep()
    _create_sweep_study()
    for table in ("study", "analysis"):
        # Not by `batch`: on SQLite that drops the table, and other tables' rows hang on its rows.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN sweep_id INTEGER"
            f" CONSTRAINT fk_{table}_sweep_id REFERENCES sweep (id)"
        )
        op.create_index(f"ix_{table}_sweep_id", table, ["sweep_id"])


def _create_sweep() -> None:
    op.create_table(
        "sweep",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("schedule", sa.String(64), nullable=True),
        sa.Column("night", sa.Date(), nullable=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("folder", sa.String(512), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("cursor", sa.String(1024), nullable=False),
        sa.Column("searched", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        _time("created_at"),
        _time("finished_at", nullable=True),
        _time("advanced_at"),
        _time("reported_at", nullable=True),
        sa.Column("lease_owner", sa.String(255), nullable=True),
        _time("lease_expires_at", nullable=True),
        sa.CheckConstraint(
            "state IN ('RUNNING', 'PAUSED', 'FINISHED', 'CANCELLED')",
            name=op.f("ck_sweep_sweepstate"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweep")),
        sa.UniqueConstraint("schedule", "night", name=op.f("uq_sweep_schedule_night")),
    )
    op.create_index("ix_sweep_state", "sweep", ["state"])


def _create_sweep_study() -> None:
    op.create_table(
        "sweep_study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("next_attempt_at"),
        _time("taken_at", nullable=True),
        sa.Column("previous_outcome", sa.String(16), nullable=True),
        sa.Column("previous_probability", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "state IN ('FOUND', 'EXCLUDED', 'FETCHING', 'TAKEN', 'MISSING')",
            name=op.f("ck_sweep_study_sweepstudystate"),
        ),
        sa.CheckConstraint(
            "previous_outcome IN ('POSITIVE', 'DOUBTFUL', 'NEGATIVE', 'NOT_ANALYSED', 'FAILED')",
            name=op.f("ck_sweep_study_outcome"),
        ),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name=op.f("fk_sweep_study_sweep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweep_study")),
        sa.UniqueConstraint(
            "sweep_id",
            "study_instance_uid",
            name=op.f("uq_sweep_study_sweep_id_study_instance_uid"),
        ),
    )
    op.create_index(
        "ix_sweep_study_sweep_id_state_next_attempt_at",
        "sweep_study",
        ["sweep_id", "state", "next_attempt_at"],
    )
    op.create_index(
        "ix_sweep_study_study_instance_uid_state", "sweep_study", ["study_instance_uid", "state"]
    )
    op.create_index("ix_sweep_study_taken_at", "sweep_study", ["taken_at"])


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
