"""What commands print."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from worker.settings import MonitorSettings, load_settings
from worker.settings.worklist import WorklistSettings
from worker.settings_table import settings_in_force
from worker.status import print_status

STATUS = {
    "studies": {"RECEIVING": 1, "SCREENED": 12},
    "outcomes": {"POSITIVE": 3},
    "deliveries": {"SENT": 4},
    "sent_with_warning": 0,
    "destinations": [],
    "queues": {"triage": 7},
    "oldest_waiting": None,
    "last_activity": None,
}


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_status_tables_show_every_count(console: Console) -> None:
    print_status(console, STATUS)
    text = printed(console)
    assert all(word in text for word in ("RECEIVING", "12", "POSITIVE", "SENT", "triage", "7"))
    assert "last activity: none yet" in text


def test_results_sent_with_a_warning_are_told_with_the_command_that_lists_them(
    console: Console,
) -> None:
    print_status(console, {**STATUS, "sent_with_warning": 2})
    assert "2 sent with a warning: `fracture-screen deliveries list --warnings`" in printed(console)


def test_only_a_destination_that_does_not_answer_is_told(console: Console) -> None:
    silent = {"destination": "[PACS]", "failures": 3, "state": "OPEN", "last_error": "refused"}
    well = {**silent, "destination": "ARCHIVE", "failures": 0, "state": "CLOSED"}
    print_status(console, {**STATUS, "destinations": [silent, well]})
    text = printed(console)
    assert "destination [PACS] does not answer (3 in a row, circuit OPEN): refused" in text
    assert "ARCHIVE" not in text


def test_a_broker_that_does_not_answer_is_said(console: Console) -> None:
    print_status(console, {**STATUS, "queues": None})
    assert "queues: the broker does not answer" in printed(console)


def test_the_oldest_waiting_study_is_told_with_its_time(console: Console) -> None:
    since = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    waiting = {"study_instance_uid": "1.2.3", "state": "READY", "since": since}
    print_status(console, {**STATUS, "oldest_waiting": waiting, "last_activity": since})
    assert "1.2.3 (READY) since 2026-03-04 05:06:07 UTC" in printed(console)
    assert "last activity: 2026-03-04 05:06:07 UTC" in printed(console)


@pytest.mark.parametrize(
    "url", ["redis://:pass-word@h:6379/0", "redis://u:pass-word@h/0", "rediss://:pass-word@h/1"]
)
def test_no_password_of_a_broker_is_shown(url: str) -> None:
    shown = json.dumps(settings_in_force(load_settings(broker_url=url)), default=str)
    assert "pass-word" not in shown
    assert "***@h" in shown


def test_an_alarm_webhook_is_shown_by_its_host_alone(tmp_path: Path) -> None:
    url = "https://chat.example:8443/hooks/T0KEN?key=T0KEN"
    monitor = MonitorSettings(alarm_webhook=url, alarm_secret_file=tmp_path / "secret")
    viewer = WorklistSettings(viewer_url="https://viewer.example/?study={study_instance_uid}")
    shown = settings_in_force(load_settings(monitor=monitor, worklist=viewer))
    values = {name: value for name, value, _ in shown}
    assert values["monitor.alarm_webhook"] == "https://chat.example/***"
    assert values["worklist.viewer_url"] == viewer.viewer_url
