"""Prometheus and Grafana: valid, and of metrics and alarms that there are."""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.deploy.deployment import COMPOSE, DEPLOY
from tests.unit.worklist.snapshots import LIMITS, NOW, make_snapshot, make_standing
from worklist.monitor.alarms import Alarm, Kind, Severity, Trouble
from worklist.monitor.metrics import Metrics
from worklist.monitor.snapshot import LedgerCondition

RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
OF_THE_MONITOR_ITSELF = {"MonitorAway", "MonitorStoodStill"}
OF_ALARMS = [rule for rule in RULES if rule["alert"] not in OF_THE_MONITOR_ITSELF]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "fracture-screen.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def series() -> dict[str, set[str]]:
    """Name of each series that the monitor may show → its labels."""
    metrics = Metrics("1", ("pacs",), LIMITS)
    metrics.show(make_snapshot(standing=make_standing()), [])
    metrics.show_models({"champion": "net-1"})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def shown_alarm(kind: Kind) -> float:
    """What the metric says while one alarm of this kind is raised."""
    trouble = Trouble(kind, Severity.WARNING, "", "", "pacs")
    metrics = Metrics("1", ("pacs",), LIMITS)
    metrics.show(make_snapshot(), [Alarm(trouble, NOW - timedelta(hours=1), NOW, NOW)])
    shown = {
        sample.labels["kind"]: sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == "fracture_screen_alarm"
    }
    assert set(shown) == set(Kind)
    assert sum(shown.values()) == shown[kind]
    return shown[kind]


@pytest.mark.parametrize("kind", Kind)
def test_every_alarm_has_its_rule_and_its_metric(kind: Kind) -> None:
    rules = [one for one in OF_ALARMS if f'{{kind="{kind}"}}' in one["expr"]]
    assert len(rules) == 1
    assert rules[0]["expr"] == f'fracture_screen_alarm{{kind="{kind}"}} > 0'
    assert rules[0]["alert"] == "".join(word.capitalize() for word in kind.split("-"))
    assert shown_alarm(kind) == 1


def test_there_is_no_rule_of_an_alarm_that_there_is_not() -> None:
    assert len(OF_ALARMS) == len(Kind)


def test_rules_are_as_grave_and_say_the_same_as_the_page_on_monitoring() -> None:
    page = (DEPLOY.parent / "docs" / "monitoring.md").read_text()
    for rule in OF_ALARMS:
        kind = re.search('"(.*)"', rule["expr"])
        assert kind is not None
        line = re.search(rf"^\| `{kind[1]}(?:/NAME)?` \| (\w+) \| (.*?) \| (.*) \|$", page, re.M)
        assert line is not None
        summary, remedy = rule["annotations"]["summary"], rule["annotations"]["remedy"]
        assert rule["labels"]["severity"] == line[1]
        assert summary.removesuffix(".").lower() == line[2].lower()
        assert remedy.removesuffix(".").lower() == line[3].lower()


def test_prometheus_takes_settings_and_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: apt install prometheus)")
    done = subprocess.run(
        [promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_a_monitor_that_is_away_or_stands_still_is_told(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: apt install prometheus)")
    away = {"series": 'up{job="fracture-screen"}', "values": "1 1 1 0 0 0 0"}
    old = {"series": "fracture_screen_last_look_timestamp_seconds", "values": "0x6"}
    full = {"series": 'fracture_screen_alarm{kind="disk-full"}', "values": "0 0 0 0 0 1 1"}

    def raised(name: str, minute: int, *times: int) -> dict[str, Any]:
        return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [{}] * len(times)}

    tests = {
        "rule_files": [str(DEPLOY / "prometheus" / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [away, old, full],
                "alert_rule_test": [
                    raised("MonitorAway", 2),
                    raised("DiskFull", 4),
                    raised("MonitorStoodStill", 1),
                ],
            }
        ],
    }
    file = tmp_path / "quiet.yml"
    file.write_text(yaml.safe_dump(tests))
    quiet = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    for name, minute in [("MonitorAway", 6), ("DiskFull", 6), ("MonitorStoodStill", 5)]:
        tests["tests"][0]["alert_rule_test"] = [raised(name, minute)]  # type: ignore[index]
        file.write_text(yaml.safe_dump(tests))
        told = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
        assert told.returncode == 1, f"{name} was not raised"
        assert f"alertname: {name}" in told.stdout + told.stderr


def expressions() -> list[tuple[str, str]]:
    rules = [(rule["alert"], rule["expr"]) for rule in RULES]
    return rules + [(one["title"], target["expr"]) for one in PANELS for target in one["targets"]]


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_only_metrics_that_exist_are_asked_for_by_labels_that_they_have(
    where: str, expression: str
) -> None:
    known = series()
    names = re.findall(r"fracture_screen_\w+", expression)
    assert names or where == "MonitorAway"
    assert set(names) <= set(known), where
    for name, selected in re.findall(r"(fracture_screen_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", selected)) <= known[name]


def test_legends_name_labels_that_there_are() -> None:
    known = series()
    for panel in PANELS:
        for target in panel["targets"]:
            (name, *_) = re.findall(r"fracture_screen_\w+", target["expr"])
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known[name]


def test_every_metric_is_on_the_dashboard() -> None:
    asked = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    for name in series():
        if not name.endswith(("_created", "_sum", "_count")):
            assert re.search(rf"\b{name}\b", asked), name


def test_panels_lie_beside_each_other_and_use_the_provisioned_source() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["datasource"]["uid"] == source["uid"]
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    provider = yaml.safe_load((folder / "dashboards" / "files.yaml").read_text())["providers"][0]
    mounted = [one.split(":")[1] for one in COMPOSE["services"]["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted


def test_the_ledger_s_part_is_down_while_it_is_away() -> None:
    """What the panel of parts shows."""
    metrics = Metrics("1", (), LIMITS)
    metrics.show(make_snapshot(ledger=LedgerCondition.AWAY, standing=None), [])
    assert 'fracture_screen_up{part="ledger"} 0.0' in metrics.text().decode()
