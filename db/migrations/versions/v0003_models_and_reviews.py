"""The model registry with its audit trail, shadow scores, reviews, and what drift is seen by."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply the step."""
    _extend_finding()
    _create_model_version()
    _create_audit_event()
    _create_shadow_score()
    _create_review()


def _extend_finding() -> None:
    for column in (
        sa.Column("body_part_examined", sa.Text(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("mean_intensity", sa.Double(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("columns", sa.Integer(), nullable=True),
    ):
        op.add_column("finding", column)


def _create_model_version() -> None:
    op.create_table(
        "model_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        _time("imported_at"),
        _time("state_changed_at"),
        sa.Column("predecessor_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('CANDIDATE', 'SHADOW', 'CHAMPION', 'RETIRED')",
            name=op.f("ck_model_version_modelstate"),
        ),
        sa.ForeignKeyConstraint(
            ["predecessor_id"],
            ["model_version.id"],
            name=op.f("fk_model_version_predecessor_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("digest", name=op.f("uq_model_version_digest")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_model_version_name_version")),
    )
    for state in ("CHAMPION", "SHADOW"):
        _unique_where(f"uq_model_version_{state.lower()}", "model_version", "state", state)


def _create_audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        _time("happened_at"),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_happened_at", "audit_event", ["happened_at"])
    _forbid_changes("audit_event")


def _create_shadow_score() -> None:
    op.create_table(
        "shadow_score",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("frame_number", sa.Integer(), nullable=False),
        sa.Column("body_part_examined", sa.Text(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("operating_point", sa.String(16), nullable=False),
        sa.Column("champion_digest", sa.String(64), nullable=False),
        sa.Column("champion_probability", sa.Double(), nullable=False),
        sa.Column("champion_operating_point", sa.String(16), nullable=False),
        _time("scored_at"),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_shadow_score_probability")),
        sa.CheckConstraint(
            "champion_probability BETWEEN 0 AND 1",
            name=op.f("ck_shadow_score_champion_probability"),
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model_version.id"], name=op.f("fk_shadow_score_model_id")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_shadow_score_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_score")),
        sa.UniqueConstraint(
            "model_id",
            "sop_instance_uid",
            "frame_number",
            name=op.f("uq_shadow_score_model_id_sop_instance_uid_frame_number"),
        ),
    )
    op.create_index("ix_shadow_score_study_id", "shadow_score", ["study_id"])
    op.create_index("ix_shadow_score_scored_at", "shadow_score", ["scored_at"])


def _create_review() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("fractured", sa.Boolean(), nullable=True),
        sa.Column("box_left", sa.Integer(), nullable=True),
        sa.Column("box_top", sa.Integer(), nullable=True),
        sa.Column("box_width", sa.Integer(), nullable=True),
        sa.Column("box_height", sa.Integer(), nullable=True),
        sa.Column("reader", sa.Text(), nullable=False),
        _time("reviewed_at"),
        _time("recorded_at"),
        _time("superseded_at", nullable=True),
        sa.CheckConstraint(
            "outcome IN ('AGREE', 'DISAGREE', 'ELSEWHERE', 'BAD_HEATMAP')",
            name=op.f("ck_review_reviewoutcome"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_review_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_study_id", "review", ["study_id"])
    op.create_index("ix_review_sop_instance_uid", "review", ["sop_instance_uid"])
    current = sa.text("superseded_at IS NULL")
    op.create_index(
        "uq_review_current",
        "review",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
    )


def _unique_where(name: str, table: str, column: str, value: str) -> None:
    chosen = sa.text(f"{column} = '{value}'")
    op.create_index(
        name, table, [column], unique=True, sqlite_where=chosen, postgresql_where=chosen
    )


def _forbid_changes(table: str) -> None:
    """An audit trail that can be edited proves nothing."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
