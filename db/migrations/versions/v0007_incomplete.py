"""The outcome INCOMPLETE: nothing flagged, and not every radiograph analysed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_BEFORE = "('POSITIVE', 'DOUBTFUL', 'NEGATIVE', 'NOT_ANALYSED', 'FAILED')"
_NOW = "('POSITIVE', 'DOUBTFUL', 'INCOMPLETE', 'NOT_ANALYSED', 'FAILED', 'NEGATIVE')"
_COLUMNS = (("analysis", "outcome"), ("sweep_study", "previous_outcome"))


def upgrade() -> None:
    """Allow the outcome, and give it to stored analyses that it would have had."""
    if op.get_bind().dialect.name == "sqlite":
        _rewrite_sqlite_checks()
    else:
        for table, column in _COLUMNS:
            name = f"ck_{table}_outcome"
            op.drop_constraint(op.f(name), table, type_="check")
            op.create_check_constraint(op.f(name), table, f"{column} IN {_NOW}")
    op.execute(
        "UPDATE analysis SET outcome = 'INCOMPLETE' WHERE outcome = 'NOT_ANALYSED' AND EXISTS "
        "(SELECT 1 FROM finding WHERE finding.analysis_id = analysis.id AND finding.analysed)"
    )


def _rewrite_sqlite_checks() -> None:
    """Change the checks in the stored text of the tables.

    SQLite cannot alter a check, and to copy a table would lose what hangs on its rows. No stored
    row changes, so this is one of the cases for which SQLite documents `writable_schema`
    (sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").
    """
    connection = op.get_bind()
    schema_version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    for table, column in _COLUMNS:
        connection.execute(
            sa.text(
                "UPDATE sqlite_master SET sql = replace(sql, :before, :now) "
                "WHERE type = 'table' AND name = :table"
            ),
            {"before": f"{column} IN {_BEFORE}", "now": f"{column} IN {_NOW}", "table": table},
        )
    # Other connections read the schema anew when its number changes.
    connection.execute(sa.text(f"PRAGMA schema_version = {schema_version + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = RESET"))
