"""The documentation as a site: it is built without a warning and loads nothing from elsewhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.unit.docs.pages import DOCS

_LOADS = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
}
_NAMES_ONLY = {"canonical", "alternate", "prev", "next"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """What a browser fetches of its own accord for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "link" and (told.get("rel") or "") in _NAMES_ONLY:
            return
        self.found += [value or "" for name, value in attrs if (tag, name) in _LOADS]


def loads(page: Path) -> Iterator[str]:
    parser = Loads()
    parser.feed(page.read_text())
    yield from parser.found


def test_every_page_of_the_folder_is_a_page_of_the_site(site: Path) -> None:
    for page in DOCS.glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file()


def test_nothing_is_loaded_from_elsewhere_and_all_of_it_is_there(site: Path) -> None:
    pages = [page for page in site.glob("*.html") if page.name != "404.html"]
    assert len(pages) >= 16
    for page in pages:
        for address in loads(page):
            assert not re.match(r"[a-z]+:|//", address), f"{page.name}: {address}"
            assert (page.parent / address.partition("?")[0]).exists(), f"{page.name}: {address}"


def test_no_style_sheet_loads_from_elsewhere(site: Path) -> None:
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//", sheet.read_text()) == []


def test_no_diagram_asks_for_a_script_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        assert 'class="mermaid"' not in page.read_text(), page.name


def test_the_picture_of_the_diagram_has_every_label_of_its_source() -> None:
    (source,) = re.findall(r"```mermaid\n(.*?)```", (DOCS / "architecture.md").read_text(), re.S)
    labels = re.findall(r"\[+\(*([^\[\]()]+?)\)*\]+", source)
    picture = (DOCS / "images" / "architecture.svg").read_text()
    drawn = "".join(re.findall(r">([^<>]+)<", picture))
    assert len(labels) >= 10
    for label in labels:
        for word in re.split(r"<br>|\s+", label):
            assert word in drawn, f"draw docs/images/architecture.svg again: {word}"


def test_blocks_that_no_test_runs_say_so_to_the_reader(site: Path) -> None:
    page = (site / "first-hour.html").read_text()
    assert page.count("not run by a test: ") == (DOCS / "first-hour.md").read_text().count(
        "```sh not run"
    )
