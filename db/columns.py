"""Column types that both databases read back as they were given. No tables here."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, DateTime, Dialect, Enum, Text, func
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware time, kept and given back in UTC.

    SQLite stores no zone: there the value is written as naive UTC.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone, by ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value.isoformat()} has no timezone: pass an aware datetime")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back that SQLite dropped."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class FreeText(TypeDecorator[str]):
    """Text that may quote what a peer sent.

    PostgreSQL refuses NUL and both databases refuse lone surrogates; an error message that holds
    one must not keep the error itself from being recorded.
    """

    impl = Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what the databases refuse."""
        if value is None:
            return None
        return storable(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Give the text back as it is."""
        return value


def storable(text: str) -> str:
    """Text without what PostgreSQL refuses (NUL) or both databases do (lone surrogates)."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def came_by_itself(sweep_id: InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Whether no sweep brought a row. Never by the index on `sweep_id`.

    SQLite takes that one for the best wherever it is asked whether it is NULL, which nearly all
    are: the page of 100,000 studies took 16 s.
    """
    return func.coalesce(sweep_id, 0) == 0


def terms(enumeration: type[StrEnum]) -> Enum:
    """A column of an enumeration's values, as text with a check."""
    return Enum(
        enumeration,
        native_enum=False,
        create_constraint=True,
        length=16,
        name=enumeration.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )
