"""What the worklist shows and finds, who may use it, what was opened when; flags."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply the step."""
    _create_study_header()
    _create_study_opening()
    _create_account()
    _create_web_session()
    op.create_index("ix_delivery_sent_at", "delivery", ["sent_at"])
    op.create_index("ix_delivery_destination_sent_at", "delivery", ["destination", "sent_at"])
    op.create_index("ix_review_recorded_at", "review", ["recorded_at"])
    op.add_column("analysis", sa.Column("unflagged_reason", sa.Text(), nullable=True))
    op.add_column("sweep_study", sa.Column("reported", sa.Boolean(), nullable=True))
    _index_analyses()


def _index_analyses() -> None:
    latest = ["finished_at", "id"]
    for name, columns, condition in (
        ("ix_analysis_current_outcome", ["outcome", *latest], ""),
        ("ix_analysis_current_finished", latest, ""),
        ("ix_analysis_current_model", ["model_name", "model_version", *latest], ""),
        ("ix_analysis_current_swept", latest, " AND sweep_id IS NOT NULL"),
    ):
        current = sa.text(f"superseded_at IS NULL{condition}")
        op.create_index(name, "analysis", columns, sqlite_where=current, postgresql_where=current)
    op.drop_index("ix_analysis_sweep_id", "analysis")
    op.create_index("ix_analysis_sweep_id_finished_at_id", "analysis", ["sweep_id", *latest])


def _create_study_header() -> None:
    op.create_table(
        "study_header",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("patient_name_folded", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("patient_birth_date", sa.Date(), nullable=True),
        sa.Column("patient_sex", sa.Text(), nullable=False),
        sa.Column("accession_number", sa.Text(), nullable=False),
        sa.Column("study_date", sa.Date(), nullable=True),
        sa.Column("study_description", sa.Text(), nullable=False),
        sa.Column("body_parts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_header_study_id")),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_study_header")),
    )
    for column in ("patient_name_folded", "patient_id", "accession_number"):
        # Searched by how they begin: PostgreSQL needs to be told, for its collations.
        ops = {column: "text_pattern_ops"}
        op.create_index(f"ix_study_header_{column}", "study_header", [column], postgresql_ops=ops)
    op.create_index("ix_study_header_body_parts", "study_header", ["body_parts"])


def _create_study_opening() -> None:
    op.create_table(
        "study_opening",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        _time("opened_at"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_opening_study_id")),
        sa.PrimaryKeyConstraint("study_id", "revision", name=op.f("pk_study_opening")),
    )
    op.create_index("ix_study_opening_opened_at", "study_opening", ["opened_at"])


def _create_account() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        _time("created_at"),
        _time("disabled_at", nullable=True),
        sa.Column("failed_sign_ins", sa.Integer(), nullable=False),
        _time("locked_until", nullable=True),
        sa.CheckConstraint("role IN ('READER', 'ADMIN')", name=op.f("ck_account_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )


def _create_web_session() -> None:
    op.create_table(
        "web_session",
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("csrf_token", sa.String(64), nullable=False),
        _time("created_at"),
        _time("last_used_at"),
        _time("expires_at"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_web_session_account_id")
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_web_session")),
    )
    op.create_index("ix_web_session_account_id", "web_session", ["account_id"])
    op.create_index("ix_web_session_expires_at", "web_session", ["expires_at"])


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
