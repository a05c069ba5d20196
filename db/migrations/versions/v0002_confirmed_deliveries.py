"""Deliveries that are confirmed or withdrawn, and the circuit breaker of each destination."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply the step."""
    _extend_delivery()
    _create_commitment_request()
    _create_circuit()


def _extend_delivery() -> None:
    # SQLite cannot change a check: there the table is made anew, which `batch` does.
    with op.batch_alter_table("delivery") as table:
        table.add_column(_time("confirm_at"))
        table.add_column(
            sa.Column("confirm_attempts", sa.Integer(), nullable=False, server_default="0")
        )
        table.add_column(sa.Column("transaction_uid", sa.String(64), nullable=True))
        table.add_column(_time("confirmed_at"))
        table.drop_constraint(op.f("ck_delivery_deliverystate"), type_="check")
        table.create_check_constraint(
            op.f("ck_delivery_deliverystate"),
            "state IN ('PENDING', 'SENT', 'COMMITTED', 'FAILED', 'WITHDRAWN')",
        )
    with op.batch_alter_table("delivery") as table:
        table.alter_column("confirm_attempts", server_default=None)
    op.create_index("ix_delivery_state_confirm_at", "delivery", ["state", "confirm_at"])


def _create_commitment_request() -> None:
    op.create_table(
        "commitment_request",
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(255), nullable=False),
        _time("asked_at", nullable=False),
        _time("answered_at"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_commitment_request_study_id")
        ),
        sa.PrimaryKeyConstraint("transaction_uid", name=op.f("pk_commitment_request")),
    )
    op.create_index("ix_commitment_request_study_id", "commitment_request", ["study_id"])


def _create_circuit() -> None:
    op.create_table(
        "circuit",
        sa.Column("destination", sa.String(255), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        _time("opened_at"),
        _time("retry_at"),
        sa.Column("last_error", sa.Text(), nullable=False),
        _time("changed_at", nullable=False),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_circuit")),
    )


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
