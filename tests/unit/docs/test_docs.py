"""What the documents say holds for the code."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from models.bundle import DEFAULT_BUNDLE, load_bundle
from tests.paths import REPOSITORY
from worker.cli import app
from worker.model_card import model_card

DOCUMENTS = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]


def ids(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for word in re.findall(r"fracture-screen (?:--config \S+ )?([a-z-]+)", document.read_text()):
        assert word in known, f"fracture-screen {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    for target in re.findall(r"`make ([a-z-]+)", document.read_text()):
        assert target in targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    paths = re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|md|sh))`", text)
    paths += re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [
        path
        for path in paths
        if not (REPOSITORY / path).exists() and not (document.parent / path).exists()
    ]
    assert missing == []


def test_the_model_card_is_that_of_the_shipped_bundle() -> None:
    card = (REPOSITORY / "docs" / "model-card.md").read_text()
    assert card == model_card(load_bundle(DEFAULT_BUNDLE))


def test_nothing_tracked_names_a_machine_or_an_index() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    forbidden = re.compile(r"(?:^|[^\w.])/(?:home|root|work)/|https?://\S+/simple\b")
    for name in tracked:
        path = REPOSITORY / name
        if path.suffix in {".py", ".md", ".toml", ".lock", ".sh", ""} and path.is_file():
            assert not forbidden.search(path.read_text(errors="replace")), name
