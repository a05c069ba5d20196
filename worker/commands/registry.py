"""`fracture-screen model …`: which models there are, which one speaks, and how that changes."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from db.states import ModelState
from worker.commands.console import Json, err, out, print_json, progress_bar, settings_of
from worker.commands.data import Data
from worker.commands.model_options import (
    AnyName,
    Name,
    Reason,
    SplitFile,
    open_models,
    registry_if_there,
    require_training_extra,
    say,
)
from worker.errors import NothingToDo
from worker.model_updates.actor import present_actor

if TYPE_CHECKING:  # a command imports what it uses when it runs
    from worker.model_updates.evaluation import EvaluationSet
    from worker.model_updates.gates import Contender, Gate
    from worker.model_updates.library import FoundModel
    from worker.settings import Settings


def list_models(context: typer.Context, as_json: Json = False) -> None:
    """The bundle of the settings and all imported models, with what each is used for.

    Example: `fracture-screen model list`
    """
    from models.bundle import load_bundle
    from worker.model_updates.library import OF_SETTINGS

    settings, registry = open_models(context)
    models = registry.models()
    own = load_bundle(settings.model.bundle).identity
    in_use = ModelState.CHAMPION if registry.speaking().champion is None else "-"
    rows: list[tuple[str, str, str, str, datetime | None]] = [
        (OF_SETTINGS, f"{own.name}-{own.version}", in_use, own.digest, None)
    ]
    rows += [("imported", one.label, one.state, one.digest, one.state_changed_at) for one in models]
    if as_json:
        keys = ("origin", "name", "state", "digest", "since")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    table = Table("origin", Column("name", no_wrap=True), "state", "digest", "since")
    for origin, label, state, digest, since in rows:
        table.add_row(origin, label, state, digest[:12], f"{since:%Y-%m-%d %H:%M}" if since else "")
    out.print(table)


def import_model(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Folder with card.json and weights.npz.")],
) -> None:
    """Check a bundle, copy it into the data folder and enter it as a candidate.

    Example: `fracture-screen model import run/bundle`
    """
    from worker.database import open_registry
    from worker.model_updates.library import import_bundle

    settings = settings_of(context)
    registry = open_registry(settings)
    say(import_bundle(path, settings, registry, present_actor()))


def compare(
    context: typer.Context,
    first: AnyName,
    second: AnyName,
    data: Data,
    split: SplitFile = None,
    as_json: Json = False,
) -> None:
    """Measure two models side by side on labelled radiographs; changes nothing.

    Example: `fracture-screen model compare champion net-2.0 --data radiographs`
    """
    from worker.model_updates.library import find_model

    settings = settings_of(context)
    registry = registry_if_there(settings)
    pair = [find_model(name, settings, registry) for name in (first, second)]
    of, contenders = _measure(settings, pair, data, split)
    from worker.model_updates.evaluation import figures

    names = [one.bundle.identity.label for one in contenders]
    measured = [figures(one.scores, of) for one in contenders]
    if as_json:
        print_json({"evaluation_set": of.digest, "models": names, "figures": measured})
        return
    table = Table("figure (95 % interval)", *names)
    for name in measured[0]:
        table.add_row(name, *(_figure(one[name]) for one in measured))
    out.print(table)
    out.print(f"{len(of.examples)} radiographs, {int(of.fractured.sum())} of them fractured")
    out.print(f"evaluation set {of.digest}", soft_wrap=True)


def promote(
    context: typer.Context,
    name: Name,
    data: Data,
    split: SplitFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote although gates failed; needs --reason.")
    ] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Make a model the champion, if it passes the gates of the settings (section promotion).

    Workers take it up with the next study. Exit code 1 if a gate failed and nothing was changed.

    Example: `fracture-screen model promote net-2.0 --data radiographs --split run/split.json`
    """
    if force and not reason:
        raise NothingToDo("--force needs --reason: it stands in the audit trail")
    from worker.model_updates.library import champion_of, find_imported, find_model

    settings, registry = open_models(context)
    record, champion = find_imported(name, settings, registry), champion_of(settings, registry)
    decided, digest = _decide(
        settings, [champion, find_model(record.digest, settings, registry)], data, split
    )
    passed = all(gate.passed for gate in decided)
    details = {
        "gates": [asdict(gate) for gate in decided],
        "evaluation_set": digest,
        "forced": force and not passed,
        "reason": reason,
    }
    _show_gates(decided, as_json)
    if not (passed or force):
        registry.note(present_actor(), "model promote refused", record.label, details)
        err.print(f"{record.label} stays {record.state}: see the gates that failed")
        raise typer.Exit(1)
    replacing = None if champion.record is None else champion.record.digest
    say(registry.promote(record.digest, present_actor(), details, replacing=replacing))


def rollback(context: typer.Context, reason: Reason = "") -> None:
    """Bring back the model that the champion replaced; the champion is retired.

    Workers take it up with the next study.

    Example: `fracture-screen model rollback --reason flags-every-hip`
    """
    settings, registry = open_models(context)
    back = registry.roll_back(present_actor(), {"reason": reason})
    if back is None:
        err.print(f"in use again: the bundle of the settings, {settings.model.bundle}")
    else:
        say(back)


def retire(context: typer.Context, name: Name, reason: Reason = "") -> None:
    """Give up a candidate or a shadow. Importing it again brings it back.

    Example: `fracture-screen model retire net-2.0`
    """
    from worker.model_updates.library import find_imported

    settings, registry = open_models(context)
    record = find_imported(name, settings, registry)
    say(registry.retire(record.digest, present_actor(), {"reason": reason}))


def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Who changed which model, when, and by what figures. All of the trail: `audit list`.

    Example: `fracture-screen model history --json`
    """
    _, registry = open_models(context)
    events = registry.events(limit)
    if as_json:
        print_json([asdict(event) for event in events])
        return
    table = Table("when (UTC)", "who", "what", "model", "reason")
    for event in events:
        when, details = f"{event.happened_at:%Y-%m-%d %H:%M:%S}", event.details
        forced = "forced: " if details.get("forced") else ""
        told = f"{forced}{details.get('reason', '')}"
        table.add_row(when, event.actor, event.action, event.subject, told)
    out.print(table)


def _decide(
    settings: "Settings", models: Sequence["FoundModel"], data: Path, split: Path | None
) -> tuple[list["Gate"], str]:
    """The gates' verdicts on champion and candidate, and the evaluation set's digest."""
    of, (champion, candidate) = _measure(settings, models, data, split)
    from worker.model_updates.gates import gates

    return gates(settings.promotion, of, champion, candidate), of.digest


def _measure(
    settings: "Settings", models: Sequence["FoundModel"], data: Path, split: Path | None
) -> tuple["EvaluationSet", list["Contender"]]:
    require_training_extra()
    from worker.classifiers import make_classifier
    from worker.model_updates.evaluation import read_evaluation_set, score
    from worker.model_updates.gates import Contender

    bundles = [model.load() for model in models]
    of = read_evaluation_set(data, split)
    with progress_bar() as progress:
        task = progress.add_task("radiographs", total=len(of.examples))
        classifiers = [make_classifier(settings, bundle) for bundle in bundles]
        scores = score(classifiers, of.examples, lambda done: progress.advance(task, done))
    return of, [Contender(*pair) for pair in zip(bundles, scores, strict=True)]


def _show_gates(decided: list["Gate"], as_json: bool) -> None:
    if as_json:
        print_json([asdict(gate) for gate in decided])
        return
    table = Table("gate", "verdict", "figures")
    for gate in decided:
        table.add_row(gate.name, "passed" if gate.passed else "FAILED", gate.told)
    out.print(table)


def _figure(value: Any) -> str:  # Any: JSON
    if isinstance(value, dict):
        return f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f})"
    return f"{value:.3f}"
