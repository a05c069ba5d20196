"""The first tables: study, instance, analysis, finding, result_object, delivery."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply the step."""
    _create_study()
    _create_instance()
    _create_analysis()
    _create_finding()
    _create_result_object()
    _create_delivery()


def _create_study() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("study_instance_uid", 64),
        _text("state", 16),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("interruptions", sa.Integer(), nullable=False),
        _text("calling_ae_title"),
        _time("received_at"),
        _time("last_instance_at"),
        _time("state_changed_at"),
        _time("ready_at", nullable=True),
        _text("lease_owner", 255, nullable=True),
        _time("lease_expires_at", nullable=True),
        _text("failure_reason"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_study_study_instance_uid")),
        sa.CheckConstraint(
            "state IN ('RECEIVING', 'READY', 'QUEUED', 'SCREENING', 'SCREENED', 'FAILED')",
            name=op.f("ck_study_studystate"),
        ),
    )
    op.create_index("ix_study_last_instance_at", "study", ["last_instance_at"])
    op.create_index("ix_study_state_state_changed_at", "study", ["state", "state_changed_at"])


def _create_instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        _text("series_instance_uid", 64),
        _text("sop_instance_uid", 64),
        _text("sop_class_uid", 64),
        _text("transfer_syntax_uid", 64),
        _text("calling_ae_title"),
        _text("path", 512),
        _text("sha256", 64),
        sa.Column("size", sa.BigInteger(), nullable=False),
        _time("received_at"),
        _foreign_key("instance", "study_id", "study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint("path", name=op.f("uq_instance_path")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_instance_sop_instance_uid")),
    )
    op.create_index("ix_instance_study_id", "instance", ["study_id"])


def _create_analysis() -> None:
    op.create_table(
        "analysis",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("model_name", 255),
        _text("model_version", 255),
        _text("model_digest", 255),
        _text("outcome", 16),
        _text("reason"),
        sa.Column("probability", sa.Double(), nullable=True),
        _time("started_at"),
        _time("finished_at"),
        _time("superseded_at", nullable=True),
        _foreign_key("analysis", "study_id", "study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis")),
        sa.UniqueConstraint("study_id", "revision", name=op.f("uq_analysis_study_id_revision")),
        sa.CheckConstraint(
            "outcome IN ('POSITIVE', 'DOUBTFUL', 'NEGATIVE', 'NOT_ANALYSED', 'FAILED')",
            name=op.f("ck_analysis_outcome"),
        ),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_analysis_probability")),
    )
    op.create_index(
        "uq_analysis_current",
        "analysis",
        ["study_id"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )


def _create_finding() -> None:
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        _text("sop_instance_uid", 64),
        sa.Column("frame_number", sa.Integer(), nullable=False),
        sa.Column("analysed", sa.Boolean(), nullable=False),
        _text("reason"),
        sa.Column("probability", sa.Double(), nullable=True),
        _text("operating_point", 16),
        sa.Column("peak_row", sa.Integer(), nullable=True),
        sa.Column("peak_column", sa.Integer(), nullable=True),
        _foreign_key("finding", "analysis_id", "analysis"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint(
            "analysis_id",
            "sop_instance_uid",
            "frame_number",
            name=op.f("uq_finding_analysis_id_sop_instance_uid_frame_number"),
        ),
        sa.CheckConstraint(
            "operating_point IN ('', 'sensitive', 'specific')",
            name=op.f("ck_finding_operating_point"),
        ),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_finding_probability")),
    )


def _create_result_object() -> None:
    op.create_table(
        "result_object",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        _text("sop_instance_uid", 64),
        _text("series_instance_uid", 64),
        _text("sop_class_uid", 64),
        _text("kind", 32),
        _text("path", 512),
        _text("sha256", 64),
        sa.Column("size", sa.BigInteger(), nullable=False),
        _time("created_at"),
        _foreign_key("result_object", "study_id", "study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_object")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_result_object_sop_instance_uid")),
    )
    op.create_index("ix_result_object_study_id", "result_object", ["study_id"])
    op.create_table(
        "analysis_result",
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("result_object_id", sa.Integer(), nullable=False),
        _foreign_key("analysis_result", "analysis_id", "analysis"),
        _foreign_key("analysis_result", "result_object_id", "result_object"),
        sa.PrimaryKeyConstraint("analysis_id", "result_object_id", name=op.f("pk_analysis_result")),
    )
    op.create_index("ix_analysis_result_result_object_id", "analysis_result", ["result_object_id"])


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("result_object_id", sa.Integer(), nullable=False),
        _text("destination", 255),
        _text("state", 16),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("next_attempt_at", nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        _text("last_error"),
        _text("lease_owner", 255, nullable=True),
        _time("lease_expires_at", nullable=True),
        _time("sent_at", nullable=True),
        _foreign_key("delivery", "result_object_id", "result_object"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "result_object_id", "destination", name=op.f("uq_delivery_result_object_id_destination")
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SENT', 'COMMITTED', 'FAILED')",
            name=op.f("ck_delivery_deliverystate"),
        ),
    )
    op.create_index("ix_delivery_state_next_attempt_at", "delivery", ["state", "next_attempt_at"])


def _text(name: str, length: int | None = None, *, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text() if length is None else sa.String(length)
    return sa.Column(name, kind, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _foreign_key(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"))
