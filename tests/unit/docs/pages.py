"""What tests read in the pages: their fenced blocks."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind its fence, and its lines."""

    page: Path
    info: str
    content: str

    @property
    def is_shell(self) -> bool:
        """Whether it holds commands."""
        return self.info.split(" ")[0] == "sh"

    @property
    def is_marked_as_not_run(self) -> bool:
        """Whether readers are told that no test runs it."""
        return self.info.startswith("sh not run")


def blocks_of(page: Path) -> list[Block]:
    """In the order of the page."""
    return [Block(page, info, content) for info, content in _FENCE.findall(page.read_text())]


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]
