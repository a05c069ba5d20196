"""The monitor beside the real services: a worker that is away is told, by probe and by webhook."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.states import StudyState
from tests.radiographs import write_phantom
from tests.servers.product import MakeProduct, Product, wait_for
from tests.servers.web_hook import HookReceiver
from worklist.signing import SIGNATURE, signature

SECRET = b"not much of a secret"
LIMITS = (
    "look_every_s = 0.5\nready_wait_s = 3\nwaiting_alarm_s = 3\ndispatch_alarm_s = 60\n"
    "raise_after_s = 1\nresolve_after_s = 1\ndisk_warning_mib = 1\n"
)


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


def monitor_toml(receiver: HookReceiver, folder: Path) -> str:
    """Quick limits, and alarms to the receiver."""
    secret = folder / "alarm-secret"
    secret.write_bytes(SECRET + b"\n")
    return f'{LIMITS}alarm_webhook = "{receiver.url}"\nalarm_secret_file = "{secret}"\n'


def ask(product: Product, path: str) -> httpx.Response:
    port = product.settings.monitor.port
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=10)


def is_ready(product: Product) -> bool | None:
    """None: nothing answers yet."""
    try:
        return ask(product, "/ready").status_code == 200
    except httpx.TransportError:
        return None


def told(receiver: HookReceiver) -> list[tuple[str, str]]:
    """(event, alarm) of every message, each of them signed."""
    messages: list[dict[str, Any]] = []
    for post in list(receiver.requests):
        given = post.headers[SIGNATURE.lower()]
        signed_at = datetime.fromtimestamp(int(given.removeprefix("t=").split(",")[0]), UTC)
        assert given == signature(SECRET, signed_at, post.body)
        messages.append(json.loads(post.body))
    return [(message["event"], message["alarm"]["id"]) for message in messages]


def test_a_worker_that_is_away_is_told_and_its_return_too(
    make_product: MakeProduct, receiver: HookReceiver, tmp_path: Path
) -> None:
    product = make_product(monitor=monitor_toml(receiver, tmp_path))
    product.start("listener", "dispatcher", "monitor")
    wait_for(lambda: is_ready(product), "the monitor says ready", product.log)
    assert ask(product, "/live").json() == {"live": True}

    phantom = write_phantom(tmp_path / "in", "waits")
    assert all(result.stored for result in product.send([phantom.path]))
    wait_for(lambda: is_ready(product) is False, "it is not ready any more", product.log)
    (reason,) = ask(product, "/ready").json()["reasons"]
    assert reason["reason"] == "no-progress"
    raised = ("raised", "triage-waiting")
    wait_for(lambda: raised in told(receiver), "the alarm arrives", product.log)
    assert [one["id"] for one in ask(product, "/alarms").json()] == ["triage-waiting"]

    product.start("triage worker")
    summary = product.wait_until_finished(phantom.study_instance_uid)
    assert summary.state is StudyState.SCREENED
    wait_for(lambda: is_ready(product), "it is ready again", product.log)
    resolved = ("resolved", "triage-waiting")
    wait_for(lambda: resolved in told(receiver), "its end arrives", product.log)
    assert told(receiver) == [raised, resolved]

    def counted() -> bool:
        shown = ask(product, "/metrics").text
        return "fracture_screen_ready_to_concluded_seconds_count 1.0" in shown

    wait_for(counted, "the conclusion is counted", product.log)
    assert ask(product, "/alarms").json() == []
