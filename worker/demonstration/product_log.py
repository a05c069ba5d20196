"""The log of the product's processes as the demonstration reads it: milestones and last words."""

import json
import re
import signal
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MILESTONE_LEVEL = "info"
_GRAVE_LEVELS = frozenset({"warning", "error", "critical"})
_PRINTED = "printed"
"""Event of a line that something in a process printed: as raw as one outside of JSON."""
_KEPT_LINES = 6
_NOT_WORTH_TELLING = frozenset({"process", "event", "level", "timestamp", "exception", "stack"})
_NOISE = re.compile(
    r"\s|[IW]\d{4} |WARNING: All log messages before absl|Traceback \(most recent call last\)"
    r"|During handling of the above|The above exception"
    r"|fracture-screen: |worklist: |worker: Warm shutdown|stopped$|$"
)
"""Raw lines that say nothing of a failure: a traceback's frames, notes on start and stop."""


@dataclass(frozen=True, slots=True)
class EndedProcess:
    """A process of the product that ended without being asked to."""

    name: str
    exit_code: int
    """Negative: the number of the signal that killed it."""
    last_words: tuple[str, ...]

    @property
    def is_refusal(self) -> bool:
        """Whether it ended by its own message, which will be the same next time."""
        return self.exit_code == 2

    def __str__(self) -> str:
        return f"the {self.name} ended ({_how(self.exit_code)}). {told(self.last_words)}"


class ProductLog:
    """Follows a log file of JSON lines, among which libraries and the interpreter write raw ones.

    Args:
        path: the file; what it holds already is skipped.
        own_process: name of the reading process, whose lines are skipped.
    """

    def __init__(self, path: Path, own_process: str) -> None:
        self._path, self._own = path, own_process
        self._offset = path.stat().st_size if path.exists() else 0
        self._recent: deque[str] = deque(maxlen=_KEPT_LINES)
        self._milestones: set[tuple[str, str]] = set()
        self.ended: list[EndedProcess] = []
        """Every unexpected end so far, in order."""
        self.listening_ports: set[int] = set()
        """Ports that listeners have opened."""

    @property
    def milestones(self) -> int:
        """How many kinds of events have been seen: grows as processes get on, never for ever."""
        return len(self._milestones)

    @property
    def last_words(self) -> tuple[str, ...]:
        """The last warnings, errors and raw lines, readable."""
        return tuple(self._recent)

    def read(self) -> None:
        """Take in the whole lines that have been written since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self._take(line)

    def _take(self, line: str) -> None:
        entry = _entry(line)
        raw = line if entry is None else str(entry.get("text", "")) * (entry["event"] == _PRINTED)
        if raw and not _NOISE.match(raw):
            self._recent.append(raw)
        if entry is None or raw:
            return
        process, event = str(entry.get("process", "")), str(entry.get("event", ""))
        if process == self._own:
            return
        if event == "process_ended":
            words = tuple(self._recent)
            self._recent.clear()
            self.ended.append(EndedProcess(str(entry["name"]), int(entry["exit_code"]), words))
        elif entry.get("level") in _GRAVE_LEVELS:
            self._recent.append(_readable(process, event, entry))
        elif entry.get("level") == _MILESTONE_LEVEL:
            self._milestones.add((process, event))
            if event == "listener_started":
                self.listening_ports.update(entry.get("ports", ()))


def told(words: tuple[str, ...]) -> str:
    """Return last words for the end of a message, a line each."""
    if not words:
        return "It wrote nothing before that."
    return "Its last words:" + "".join(f"\n  {word}" for word in words)


def _entry(line: str) -> dict[str, Any] | None:  # Any: JSON
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None


def _readable(process: str, event: str, entry: dict[str, Any]) -> str:  # Any: JSON
    if "reason" in entry:
        return f"{process}: {entry['reason']}"
    facts = [f"{key} {entry[key]}" for key in entry if key not in _NOT_WORTH_TELLING]
    facts += str(entry.get("exception", "")).strip().splitlines()[-1:]
    told_facts = f" ({', '.join(facts)})" if facts else ""
    return f"{process}: {event.replace('_', ' ')}{told_facts}"


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if -exit_code == signal.SIGKILL:
        return f"killed by {name}: the machine may have run out of memory"
    return f"killed by {name}"
