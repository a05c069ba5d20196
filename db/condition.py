"""How the database itself is: kind, version, clock, whether it takes writes. Leaves nothing behind.

The ledger's tables are not asked for here, but for one that nothing is changed in.
"""

from datetime import UTC, datetime

from sqlalchemy import Engine, text, update

from db.session import UTF8, database_errors
from db.tables import Study

_READS_ONLY = {"fracture_screen_reads_only": True}


def server_version(engine: Engine) -> str:
    """Such as "PostgreSQL 15.8" or "SQLite 3.40.1". LedgerUnavailable: it cannot be asked."""
    with database_errors(), engine.execution_options(**_READS_ONLY).connect() as connection:
        if connection.dialect.name == "sqlite":
            return f"SQLite {connection.scalar(text('SELECT sqlite_version()'))}"
        # Distributors write more behind it.
        return f"PostgreSQL {str(connection.scalar(text('SHOW server_version'))).split()[0]}"


def server_encoding(engine: Engine) -> str:
    """Such as "UTF8" or "SQL_ASCII". LedgerUnavailable: it cannot be asked."""
    if engine.dialect.name == "sqlite":
        return UTF8
    with database_errors(), engine.execution_options(**_READS_ONLY).connect() as connection:
        return str(connection.scalar(text("SHOW server_encoding")))


def server_clock(engine: Engine) -> datetime | None:
    """The time there; None: it has no clock of its own. LedgerUnavailable as above."""
    if engine.dialect.name == "sqlite":
        return None
    with database_errors(), engine.connect() as connection:
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now.astimezone(UTC)


def require_writable(engine: Engine) -> None:
    """LedgerUnavailable unless the ledger's tables may be written; changes no row.

    A database that is read-only, or whose user may not write, refuses the statement all the same.
    """
    with database_errors(), engine.connect() as connection, connection.begin() as attempt:
        connection.execute(update(Study).where(Study.id < 0).values(revision=Study.revision))
        attempt.rollback()
