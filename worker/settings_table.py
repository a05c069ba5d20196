"""What `settings show` prints: each setting, its value in force and its meaning."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel
from rich.console import Console
from rich.table import Column, Table

from worker.settings import Settings, field_reference


def settings_in_force(settings: Settings) -> list[tuple[str, Any, str]]:
    """(name, value, meaning) of every setting; what admits somewhere is hidden in URLs."""
    rows: list[tuple[str, Any, str]] = []
    for name, _, description in field_reference():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        if isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value):
            value = [one.model_dump() for one in value]
        elif name == "monitor.alarm_webhook":
            value = _host_alone(value)
        elif name in ("database_url", "broker_url") and value:
            from sqlalchemy.engine import make_url

            value = make_url(value).render_as_string(hide_password=True)
        rows.append((name, value, description))
    return rows


def _host_alone(url: str) -> str:
    """Chat systems let in whoever knows the path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/***" if url else ""


def print_settings(console: Console, rows: Sequence[tuple[str, Any, str]]) -> None:
    """Name, value, meaning."""
    table = Table(Column("setting", no_wrap=True), "value", "meaning")
    for name, value, description in rows:
        table.add_row(name, str(value), description)
    console.print(table)
