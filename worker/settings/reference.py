"""The settings reference: every field's name, default and description."""

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from worker.settings.root import Settings


class Table(NamedTuple):
    """A table of the file."""

    name: str
    """Dotted."""
    model: type[BaseModel]
    is_repeated: bool
    """Whether it may be there more than once."""


def field_reference() -> list[tuple[str, Any, str]]:
    """(dotted name, default, description) of every setting. Any: defaults differ in type."""
    return _fields_of(Settings, "")


def known_names() -> list[str]:
    """Dotted names of all that a file may hold."""
    of_tables = (f"{table.name}.{name}" for table in tables() for name in table.model.model_fields)
    return [*Settings.model_fields, *of_tables]


def tables(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Table]:
    """All within a model, in the order of the file."""
    for name, field in model.model_fields.items():
        if found := table_of(field.annotation):
            inner, is_repeated = found
            yield Table(prefix + name, inner, is_repeated)
            yield from tables(inner, f"{prefix}{name}.")


def table_of(annotation: object) -> tuple[type[BaseModel], bool] | None:
    """A field's table and whether it may be there more than once; None: it is a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for one in get_args(annotation) if get_origin(annotation) is tuple else ():
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one, True
    return None


def _fields_of(section: type[BaseModel], prefix: str) -> list[tuple[str, Any, str]]:
    rows: list[tuple[str, Any, str]] = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _fields_of(field.annotation, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, field.default, field.description or ""))
    return rows
