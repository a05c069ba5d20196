"""`fracture-screen reference settings`: docs/settings.md, from the fields that the code reads."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from models.shipped import DEFAULT_BUNDLE
from worker.settings import Settings
from worker.settings.reference import table_of, tables

_HEAD = """# Settings

Written by `fracture-screen reference settings`; a test holds it against the code.

One TOML file, named by `--config` or by `FRACTURE_SCREEN_CONFIG`, read once when a process starts:
restart what should know a change. Without a file the defaults hold. An unknown key, a wrong value
or a file that is no TOML ends the process at once, with the nearest name that there is; the value
is never shown. `fracture-screen settings show` prints what is in force.

The environment is stronger than the file: `FRACTURE_SCREEN_` and the name in capitals, `__` for
each dot, for example `FRACTURE_SCREEN_LISTENER__PORT=104`. Tables that may be there more than once
(`[[…]]`) are given as JSON there.
"""

_BOUNDS: tuple[tuple[type, str, str], ...] = (
    (Ge, "ge", "≥"),
    (Gt, "gt", ">"),
    (Le, "le", "≤"),
    (Lt, "lt", "<"),
)


def settings_page() -> str:
    """Markdown. The same code gives the same text, wherever it is installed."""
    parts = [_HEAD, _section("Top of the file", Settings, "Before the first section.")]
    for name, model, is_repeated in tables():
        title = f"`[[{name}]]`" if is_repeated else f"`[{name}]`"
        parts.append(_section(title, model, _first_paragraph(model)))
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel], about: str) -> str:
    rows = [
        f"| `{name}` | {_default(field)} | {_meaning(field)} |"
        for name, field in model.model_fields.items()
        if table_of(field.annotation) is None
    ]
    lines = [f"## {title}", "", about, "", "| field | default | meaning |", "|---|---|---|", *rows]
    return "\n".join([*lines, ""])


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "**required**"
    if value == DEFAULT_BUNDLE:
        return "the one that is shipped"  # its path is that of the installation
    if value is None or value == "" or value == ():
        return "–"
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:  # Any: whatever a field holds
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    text = str(value.value if isinstance(value, Enum) else value)
    return f'"{Path(text).as_posix() if isinstance(value, Path) else text}"'


def _meaning(field: FieldInfo) -> str:
    notes = [*_bounds(field.metadata), *_bounds_within(field.annotation)]
    choices = [f"`{each.value}`" for enum in _enums(field.annotation) for each in enum]
    text = " ".join((field.description or "").split()).replace("|", "\\|")
    if choices:
        text += f" One of {', '.join(choices)}."
    return f"{text} ({', '.join(notes)})" if notes else text


def _bounds(metadata: Sequence[object]) -> list[str]:
    return [
        f"{sign} {getattr(one, name):g}"
        for one in metadata
        for kind, name, sign in _BOUNDS
        if isinstance(one, kind)
    ]


def _bounds_within(annotation: object) -> list[str]:
    """Those of `Annotated` in an optional: pydantic keeps them in a FieldInfo within."""
    if get_origin(annotation) not in (Union, UnionType):
        return []
    inner = (one for arg in get_args(annotation) for one in getattr(arg, "__metadata__", ()))
    return [note for one in inner if isinstance(one, FieldInfo) for note in _bounds(one.metadata)]


def _enums(annotation: object) -> list[type[Enum]]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [annotation]
    return [enum for arg in get_args(annotation) for enum in _enums(arg)]
