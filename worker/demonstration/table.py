"""What the demonstration prints: a table for people, plain values for --json."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from db.outcomes import Outcome, percent
from worker.demonstration.demo import DemoResult, DemoStudy

_COLOURS = {Outcome.POSITIVE: "red", Outcome.DOUBTFUL: "yellow", Outcome.FAILED: "bold red"}


def print_result(console: Console, result: DemoResult, out: Path) -> None:
    """Print each study's outcome, where its pictures are, and a last line if all is complete."""
    own = any(study.marked for study in result.studies)
    table = Table(
        Column("study", no_wrap=True),
        "marked" if own else "body part",
        Column("outcome", no_wrap=True),
        Column("prob.", justify="right"),
        Column("results", justify="right"),
        "reason",
    )
    for study in result.studies:
        table.add_row(
            study.name,
            study.marked if own else study.body_part_examined,
            _coloured(study.outcome),
            percent(study.probability),
            str(len(study.results)),
            study.reason,
        )
    console.print(table)
    for line in (*result.unreadable, *result.refused):
        console.print(f"not part of a study: {line}", markup=False)
    if own:
        console.print("marked: by radiologists, in FracAtlas. results: arrived in the PACS")
    _print_pictures(console, result, out)
    if result.complete:
        counts = Counter(study.outcome for study in result.studies)
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        console.print(
            f"{len(result.studies)} studies in {result.seconds:.0f} s with {result.model}: {told}",
            markup=False,
            soft_wrap=True,
        )


def failure_of(result: DemoResult, log: Path) -> str:
    """Return what is missing, for the end of a demonstration that is not complete."""
    incomplete = [study.name for study in result.studies if not study.complete]
    told = [f"no outcome or no results: {', '.join(incomplete)}"] if incomplete else []
    told += [f"instances that the listener refused: {len(result.refused)}"] * bool(result.refused)
    return f"the demo is not complete. {'; '.join(told) or 'Nothing was sent'}. See {log}"


def as_json(result: DemoResult) -> dict[str, Any]:  # Any: JSON
    """Return the documented shape of `demo --json`."""
    return {
        "complete": result.complete,
        "seconds": result.seconds,
        "model": result.model,
        "studies": [
            {
                "study_instance_uid": study.study_instance_uid,
                "name": study.name,
                "marked": study.marked,
                "body_part_examined": study.body_part_examined,
                "outcome": study.outcome,
                "probability": study.probability,
                "reason": study.reason,
                "results": [str(path) for path in study.results],
                "report": None if study.report is None else str(study.report),
                "heatmaps": [str(path) for path in study.heatmaps],
            }
            for study in result.studies
        ],
        "not_sent": [*result.unreadable, *result.refused],
    }


def example_of(result: DemoResult) -> DemoStudy | None:
    """Return the study to show first: one with a heatmap, if there is one."""
    with_report = [study for study in result.studies if study.report is not None]
    return next((study for study in with_report if study.heatmaps), next(iter(with_report), None))


def _coloured(outcome: str) -> str:
    colour = _COLOURS.get(Outcome(outcome)) if outcome else None
    return f"[{colour}]{outcome}[/]" if colour else outcome or "none"


def _print_pictures(console: Console, result: DemoResult, out: Path) -> None:
    example = example_of(result)
    if example is not None:
        console.print(f"a report:  {_short(example.report)}", markup=False, soft_wrap=True)
    for heatmap in () if example is None else example.heatmaps:
        console.print(f"a heatmap: {_short(heatmap)}", markup=False, soft_wrap=True)
    console.print(
        f"all of them: {_short(out.absolute() / 'results')}; as DICOM: "
        f"{_short(out.absolute() / 'pacs' / 'received')}",
        markup=False,
        soft_wrap=True,
    )


def _short(path: Path | None) -> str:
    """Return a path from the working folder where that is shorter."""
    return min((str(path), os.path.relpath(str(path))), key=len)
