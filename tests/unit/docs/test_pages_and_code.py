"""Pages that are written from the code, and pages that must name everything that there is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from tests.paths import REPOSITORY
from tests.unit.docs.pages import DOCS, PAGES
from worker.cli import app
from worker.commands_page import commands_page
from worker.settings import field_reference
from worker.settings.fields import Section
from worker.settings_page import settings_page

PACKAGES = ("worker", "worklist", "dicom_node", "db", "models", "training")
OF_A_LOWER_LEVEL = {"result_sent", "result_sent_with_warning", "delivery_postponed"}
"""Written by the same line of code as `delivery_failed`, at info or warning."""


def test_the_settings_page_is_written_from_the_code() -> None:
    assert (DOCS / "settings.md").read_text() == settings_page(), (
        "write it again: fracture-screen reference settings > docs/settings.md"
    )


def test_the_settings_page_has_every_field() -> None:
    page = settings_page()
    names = [name.rpartition(".")[2] for name, _, _ in field_reference()]
    tables = list(sections(Section))
    assert len(tables) > 10
    names += [name for table in tables for name in table.model_fields]
    for name in names:
        forms = f"| `{name}` |", f"## `[[{name}]]`", f".{name}]`"
        assert any(form in page for form in forms), name


def sections(base: type[Section]) -> Iterator[type[Section]]:
    """Every table that there is, whoever lists it."""
    for table in base.__subclasses__():
        yield table
        yield from sections(table)


def test_the_commands_page_is_written_from_the_code() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    assert (DOCS / "commands.md").read_text() == commands_page(root), (
        "write it again: fracture-screen reference commands > docs/commands.md"
    )


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (REPOSITORY / package).rglob("*.py")


def loud_events(path: Path) -> set[str]:
    """Names of events that a module may log at level error or critical."""
    found: set[str] = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found |= _of_function(function)
    return found


def _of_function(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    nodes = list(ast.walk(function))
    calls = [node for node in nodes if isinstance(node, ast.Call) and node.args]
    loud = [call for call in calls if _is_loud(call.func)]
    found = {text for call in loud for text in _event_names(call.args[0])}
    # `write = _log.critical if … else …; write(event, …)`
    if any(_is_loud(node) and not _is_called(node, calls) for node in nodes):
        written = [
            call.args[0]
            for call in calls
            if isinstance(call.func, ast.Name) and call.func.id == "write"
        ]
        found |= {text for node in written for text in _event_names(node)}
        assigned = [node.value for node in nodes if isinstance(node, ast.Assign)]
        if any(isinstance(node, ast.Name) for node in written):
            found |= {text for node in assigned for text in _event_names(node)}
    logged = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "_logged"]
    return found | {text for call in logged for text in _event_names(call.args[0])}


def _is_loud(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in {"error", "critical", "exception"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "_log"
    )


def _is_called(node: ast.AST, calls: list[ast.Call]) -> bool:
    return any(call.func is node for call in calls)


def _event_names(node: ast.AST) -> set[str]:
    texts = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return {
        text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(_[a-z]+)+", text)
    }


LOUD = {event: path for path in modules() for event in loud_events(path)}


def test_the_search_for_events_finds_each_way_in_which_they_are_written() -> None:
    ways = {"dispatch_interrupted", "study_attempt_failed", "lease_expired", "delivery_failed"}
    assert ways | {"schedule_interrupted", "destination_unreachable"} <= set(LOUD)


@pytest.mark.parametrize("event", sorted(set(LOUD) - OF_A_LOWER_LEVEL))
def test_every_event_of_level_error_or_critical_has_its_line_and_its_remedy(event: str) -> None:
    page = (DOCS / "operations.md").read_text()
    (row,) = re.findall(rf"^\| `{event}`[^|]*\|([^|]+)\|([^|]+)\|$", page, re.M)
    assert all(cell.strip() for cell in row)


def test_every_event_that_has_a_line_exists() -> None:
    page = (DOCS / "operations.md").read_text().partition("## Log events")[2]
    code = "\n".join(path.read_text() for path in modules())
    for event in re.findall(r"^\| `([a-z_]+)`", page, re.M):
        assert f'"{event}"' in code, event


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
        path = REPOSITORY / file
        assert path.is_file(), file
        assert not name or f"def {name}(" in path.read_text(), f"{file}::{name}"


def test_every_mitigation_names_a_test() -> None:
    page = (DOCS / "security.md").read_text()
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", page, re.M)
    threats = [row for row in rows if row[0] not in ("threat", "asset") and "`tests/" in row[2]]
    assert len(threats) >= 35
    borders = page.partition("## DICOM peers")[2].partition("## What is left")[0]
    for row in re.findall(r"^\| (?!threat|---)(.+)$", borders, re.M):
        assert "`tests/" in row, row


def test_the_figures_of_the_intended_use_are_those_of_the_model_card() -> None:
    card = (DOCS / "model-card.md").read_text()
    figures = re.findall(r"[\d.]+ (?:% )?\([\d.]+–[\d.]+\)", (DOCS / "intended-use.md").read_text())
    assert len(figures) == 5
    for figure in figures:
        assert figure in card, figure


def test_what_a_pacs_is_told_of_our_results_is_what_they_are() -> None:
    from dicom_node.result_identity import RESULT_SERIES_NUMBERS

    page = (DOCS / "integration.md").read_text()
    for kind, modality in (("secondary_capture", "OT"), ("encapsulated_pdf", "DOC")):
        assert f"| {RESULT_SERIES_NUMBERS[kind]}, modality {modality} |" in page
