"""The pages about flags and monitoring name everything that there is."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.paths import REPOSITORY
from tests.unit.worklist.snapshots import LIMITS
from worklist.flags.hl7 import OBSERVATIONS
from worklist.monitor.alarms import Kind
from worklist.monitor.metrics import Metrics
from worklist.people.audit_messages import Message

DOCS = REPOSITORY / "docs"
MONITORING = (DOCS / "monitoring.md").read_text()
FLAGS = (DOCS / "flags.md").read_text()
WORKLIST = (DOCS / "worklist.md").read_text()


@pytest.mark.parametrize("kind", Kind)
def test_every_alarm_has_its_line(kind: Kind) -> None:
    assert f"\n| `{kind}`" in MONITORING or f"\n| `{kind}/NAME`" in MONITORING


def test_every_metric_is_listed() -> None:
    metrics = Metrics("1", ("pacs",), LIMITS).text().decode()
    for family in text_string_to_metric_families(metrics):
        name = family.name.removeprefix("fracture_screen_")
        if not name.endswith("_created"):
            assert f"`{name}" in MONITORING, name


@pytest.mark.parametrize("code", OBSERVATIONS)
def test_every_observation_is_described(code: str) -> None:
    assert f"`{code}`" in FLAGS


@pytest.mark.parametrize("message", Message)
def test_every_audit_message_is_described(message: Message) -> None:
    assert f"| {message} " in WORKLIST
