"""The settings reference: every field's name, default and description."""

from typing import Any

from pydantic import BaseModel

from worker.settings.destinations import Destination
from worker.settings.hl7 import Hl7Receiver
from worker.settings.peers import PeerSettings
from worker.settings.root import Settings
from worker.settings.sources import SourceSettings
from worker.settings.sweep import ScheduleSettings
from worker.settings.webhooks import WebhookReceiver


def field_reference() -> list[tuple[str, Any, str]]:
    """(dotted name, default, description) of every setting. Any: defaults differ in type."""
    return _fields_of(Settings, "")


def known_names() -> list[str]:
    """Dotted names of all that a file may hold."""
    names = [name for name, _, _ in field_reference()]
    return [
        *Settings.model_fields,
        *names,
        *(f"destinations.{n}" for n in Destination.model_fields),
        *(f"hl7.{n}" for n in Hl7Receiver.model_fields),
        *(f"webhooks.{n}" for n in WebhookReceiver.model_fields),
        *(f"peers.{n}" for n in PeerSettings.model_fields),
        *(f"sources.{n}" for n in SourceSettings.model_fields),
        *(f"schedules.{n}" for n in ScheduleSettings.model_fields),
    ]


def _fields_of(section: type[BaseModel], prefix: str) -> list[tuple[str, Any, str]]:
    rows: list[tuple[str, Any, str]] = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _fields_of(field.annotation, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, field.default, field.description or ""))
    return rows
