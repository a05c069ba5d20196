"""Alarms out: each raised one, again while it lasts, and its end, as signed JSON to a webhook.

What cannot be sent is tried again after growing pauses, as long as it is true.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import httpx
import structlog

from worklist.monitor.alarms import Alarm
from worklist.monitor.parts import Webhook
from worklist.signing import SIGNATURE, signature

_log = structlog.get_logger(__name__)

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=10)
_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class _Told:
    alarm: Alarm
    at: datetime


class Notifier:
    """Tells a webhook what is raised now. For one thread."""

    def __init__(self, webhook: Webhook, clock: Callable[[], datetime]) -> None:
        """Connect to nothing yet."""
        self._webhook = webhook
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self._pause = _FIRST_PAUSE
        self._not_before: datetime | None = None

    def run(self, raised: Callable[[], Sequence[Alarm]], stop: Event) -> None:
        """Tell until `stop` is set."""
        while not stop.wait(_POLL_S):
            self.tell(raised())

    def tell(self, raised: Sequence[Alarm]) -> None:
        """Send what the webhook does not know yet; after a failure nothing until the pause ends."""
        if self._not_before is not None and self._clock() < self._not_before:
            return
        for event, alarm in self._due({alarm.id: alarm for alarm in raised}):
            if not self._send(event, alarm):
                self._not_before = self._clock() + self._pause
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                return
            self._pause, self._not_before = _FIRST_PAUSE, None
            if event == "resolved":
                del self._told[alarm.id]
            else:
                self._told[alarm.id] = _Told(alarm, self._clock())

    def _due(self, raised: dict[str, Alarm]) -> list[tuple[str, Alarm]]:
        now = self._clock()
        due = []
        for alarm_id, alarm in raised.items():
            told = self._told.get(alarm_id)
            if told is None or told.alarm.raised_at != alarm.raised_at:
                due.append(("raised", alarm))
            elif now - told.at >= self._webhook.repeat:
                due.append(("still raised", alarm))
        gone = [told.alarm for alarm_id, told in self._told.items() if alarm_id not in raised]
        return due + [("resolved", alarm) for alarm in gone]

    def _send(self, event: str, alarm: Alarm) -> bool:
        now = self._clock()
        body = json.dumps(_message(event, alarm, self._webhook.sender, now)).encode()
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self._webhook.secret, now, body),
        }
        try:
            answer = httpx.post(
                self._webhook.url,
                content=body,
                headers=headers,
                timeout=self._webhook.timeout_s,
                trust_env=False,
            )
            trouble = "" if answer.is_success else f"HTTP status {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            trouble = type(error).__name__
        if trouble:  # the URL may hold a secret
            _log.error("alarm_not_sent", alarm=alarm.id, event_told=event, trouble=trouble)
        return not trouble


def describe(alarm: Alarm) -> dict[str, Any]:  # Any: JSON
    """An alarm for machines."""
    trouble = alarm.trouble
    return {
        "id": alarm.id,
        "kind": trouble.kind,
        "subject": trouble.subject,
        "severity": trouble.severity,
        "since": alarm.since.isoformat(),
        "summary": trouble.summary,
        "remedy": trouble.remedy,
    }


def _message(event: str, alarm: Alarm, sender: str, now: datetime) -> dict[str, Any]:  # Any: JSON
    return {"event": event, "sender": sender, "sent_at": now.isoformat(), "alarm": describe(alarm)}
