"""What `screen` prints: a line per image for people, counts for --json."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from db.outcomes import Outcome, percent
from worker.offline import SKIPPED, TABLE, Row

Json = dict[str, Any]
"""Any: JSON values."""

_WIDEST_PATH = 60


def screen_summary(rows: Sequence[Row], folder: Path) -> Json:
    """Return counts per outcome and where the table is."""
    return {
        "results": str((folder / TABLE).resolve()),
        "images": len(rows),
        "outcomes": dict(Counter(str(row.outcome) for row in rows)),
    }


def print_screen(console: Console, rows: Sequence[Row], folder: Path) -> None:
    """Print file, outcome, probability and reason of each image, and where the results are."""
    width = min(max(len(row.path) for row in rows), _WIDEST_PATH)
    for row in rows:
        line = f"{row.path:{width}}  {row.outcome:12}  {percent(row.probability):>7}  {row.reason}"
        console.print(line.rstrip(), markup=False, soft_wrap=True)
    if any(row.outcome == Outcome.NEGATIVE for row in rows):
        console.print("NEGATIVE does not exclude a fracture.")
    console.print(
        f"{_counted(rows)}. Table with all result files: {folder / TABLE}",
        markup=False,
        soft_wrap=True,
    )


def all_failed(rows: Sequence[Row]) -> bool:
    """Return whether no file could be screened: each failed or is no image."""
    return all(row.outcome in (Outcome.FAILED, SKIPPED) for row in rows)


def _counted(rows: Sequence[Row]) -> str:
    counts = Counter(str(row.outcome) for row in rows)
    images = f"{len(rows)} image{'s' if len(rows) > 1 else ''}"
    return (
        f"{images}: {', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))}"
    )
