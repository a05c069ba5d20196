"""What commands print: tables for people, plain values for --json."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.engine import make_url

from db.ledger import Ledger
from db.records import CircuitSummary
from db.states import CircuitState
from models.bundle import ModelBundle
from worker.app import queue_depth
from worker.demo import DemoResult
from worker.model_card import figure_rows, part_names, region_points
from worker.settings import Settings, field_reference

Json = dict[str, Any]
"""Any: JSON values."""


def print_demo(console: Console, result: DemoResult, folder: Path) -> None:
    """Study → outcome → probability → result files."""
    table = Table("study", "outcome", "probability", "results in the PACS", "reason")
    for study in result.studies:
        table.add_row(
            _short(study.study_instance_uid),
            study.outcome or "none",
            _probability(study.probability),
            str(len(study.results)),
            study.reason,
        )
    console.print(table)
    for line in result.not_sent:
        console.print(f"not part of a study: {line}", markup=False)
    console.print(
        f"{len(result.studies)} studies in {result.seconds} s with {result.model}. "
        f"Heatmaps (.png) and reports (.pdf): {folder.resolve() / 'pacs' / 'received'}",
        markup=False,
        soft_wrap=True,
    )


def status_of(settings: Settings, ledger: Ledger) -> Json:
    """Everything `status` shows."""
    from kombu.exceptions import OperationalError

    status = ledger.status()
    try:
        queues: dict[str, int] | None = queue_depth(settings)
    except OperationalError:
        queues = None
    waiting = status.oldest_waiting
    return {
        "studies": {str(state): count for state, count in status.studies.items()},
        "outcomes": {str(outcome): count for outcome, count in status.analyses.items()},
        "deliveries": {str(state): count for state, count in status.deliveries.items()},
        "sent_with_warning": status.sent_with_warning,
        "destinations": [asdict(circuit) for circuit in _circuits(settings, status.circuits)],
        "queues": queues,
        "oldest_waiting": None if waiting is None else asdict(waiting),
        "last_activity": status.last_activity,
    }


def _circuits(settings: Settings, known: Sequence[CircuitSummary]) -> list[CircuitSummary]:
    """Of each destination in the settings; one that never failed is CLOSED."""
    found = {circuit.destination: circuit for circuit in known}
    return [
        found.get(name, CircuitSummary(name, CircuitState.CLOSED, 0, None, ""))
        for name in settings.destination_names
    ]


def print_status(console: Console, status: Json) -> None:
    """One small table per subject."""
    for subject in ("studies", "outcomes", "deliveries", "queues"):
        if status[subject] is None:
            console.print(f"{subject}: the broker does not answer")
            continue
        table = Table(*status[subject], title=subject, title_justify="left")
        table.add_row(*(str(count) for count in status[subject].values()))
        console.print(table)
    if status["sent_with_warning"]:
        console.print(
            f"{status['sent_with_warning']} sent with a warning: `fracture-screen deliveries list "
            "--warnings`"
        )
    for circuit in status["destinations"]:
        if circuit["failures"]:
            console.print(
                f"destination {circuit['destination']} does not answer "
                f"({circuit['failures']} in a row, circuit {circuit['state']}): "
                f"{circuit['last_error']}",
                markup=False,
                soft_wrap=True,
            )
    waiting = status["oldest_waiting"]
    if waiting:
        console.print(
            f"oldest waiting: {waiting['study_instance_uid']} ({waiting['state']}) since "
            f"{waiting['since']:%Y-%m-%d %H:%M:%S} UTC"
        )
    last = status["last_activity"]
    console.print(f"last activity: {f'{last:%Y-%m-%d %H:%M:%S} UTC' if last else 'none yet'}")


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


def print_card(console: Console, bundle: ModelBundle) -> None:
    """Identity, operating points, figures with intervals, limits."""
    model, points = bundle.identity, bundle.operating_points
    console.print(f"{model.name} {model.version}  digest {model.digest[:16]}…")
    console.print(f"suspicious at ≥ {points.sensitive:.3f}, definite at ≥ {points.specific:.3f}")
    for line in region_points(bundle):
        console.print(line)
    metrics = bundle.card["metrics"]
    table = Table("figures (95 % interval)", *part_names(metrics))
    for row in figure_rows(metrics):
        table.add_row(*row)
    console.print(table)
    if bundle.network is None:
        console.print(
            "No network.onnx: only TensorFlow runs this bundle. `fracture-screen model onnx` adds "
            "the file."
        )
    for limit in bundle.limits:
        console.print(f"- {limit}", markup=False)


def _probability(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.3f}"


def _short(uid: str) -> str:
    return uid if len(uid) <= 24 else f"{uid[:10]}…{uid[-12:]}"
