"""What mkdocs does differently from a forge that shows the same pages (see mkdocs.yml).

- A Mermaid diagram is shown as the picture that is kept of it: its script would be another's.
- Commands that no test runs bear that as their title.
- Files of the program that a page links to are part of the site.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DIAGRAMS = {"architecture.md": "![How data flows](images/architecture.svg)"}
"""Per page, what stands for its one Mermaid block."""
LINKED_FILES = ("worklist/flags/webhook.schema.json",)
"""In the repository, outside docs/."""

_MERMAID = re.compile(r"^```mermaid\n.*?^```$", re.M | re.S)
_NOT_RUN = re.compile(r"^```sh not run(?:: (.+))?$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the linked files."""
    root = Path(config.config_file_path).parent
    for name in LINKED_FILES:
        path = root / name
        files.append(File.generated(config, path.name, content=path.read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text as the site needs it."""
    for name in LINKED_FILES:
        markdown = markdown.replace(f"](../{name})", f"]({Path(name).name})")
    picture = DIAGRAMS.get(page.file.src_uri)
    if picture is not None:
        markdown = _MERMAID.sub(picture, markdown)
    return _NOT_RUN.sub(_with_title, markdown)


def _with_title(fence: re.Match[str]) -> str:
    reason = f": {fence[1]}" if fence[1] else ""
    return f'```{{ .sh title="not run by a test{reason}" }}'
