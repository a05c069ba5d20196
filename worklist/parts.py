"""What the pages are made of, put together by `worker.worklist_parts`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from dicom_node.image_label import ImageLabel
from worklist.corrections import Corrector
from worklist.people.throttle import SignInThrottle


class Pictures(Protocol):
    """Renders what stands on disk. Paths are relative to the data folder, as in the ledger.

    Every method raises DicomNodeError when the file is gone or cannot be read.
    """

    def radiograph(self, path: str, frame_number: int) -> bytes:
        """PNG, 8-bit grey, of one frame (1-based), as large as its heatmap."""

    def heatmap(self, path: str, rows: int, columns: int) -> bytes:
        """PNG, RGB, of a heatmap result without its caption: as large as its radiograph's.

        `rows` and `columns` are the radiograph's own, as its finding states them.
        """

    def heatmap_source(self, path: str) -> tuple[str, int]:
        """SOP Instance UID and frame number (1-based) that a heatmap result shows."""

    def label(self, path: str) -> ImageLabel:
        """What a received instance's header calls it."""

    def report(self, path: str) -> bytes:
        """The PDF of a report result."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a sign-in lasts, and what stops guessing."""

    idle: timedelta
    longest: timedelta
    failures_to_lock: int
    lock: timedelta
    secure_cookies: bool


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """A reverse proxy that signs people in: its addresses or networks, and the header with their
    name."""

    addresses: tuple[str, ...]
    header: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a request needs; pages find it as `request.app.state.parts`."""

    engine: Engine
    clock: Callable[[], datetime]
    pictures: Pictures
    data_folder: Path
    time_zone: ZoneInfo
    """Of the site: what times are shown in."""
    viewer_url: str
    """Template of a link into the hospital's viewer, with {study_instance_uid}; "": none."""
    corrector: Corrector
    sessions: SessionRules
    trusted_proxy: TrustedProxy | None
    throttle: SignInThrottle = field(default_factory=SignInThrottle)
    """Of failed sign-ins per address."""
