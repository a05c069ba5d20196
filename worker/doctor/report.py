"""Findings for people and for machines."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from worker.doctor.examination import exit_code
from worker.doctor.finding import Finding, Result

_STYLES = {
    Result.OK: "green",
    Result.WARNING: "yellow",
    Result.FAILED: "bold red",
    Result.SKIPPED: "dim",
}


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:  # Any: JSON
    """The documented shape of `doctor --json`."""
    return {
        "ok": exit_code(findings) == 0,
        "counts": _counts(findings),
        "findings": [
            {
                "check": str(one.check),
                "subject": one.subject,
                "result": str(one.result),
                "found": one.verdict.found,
                "remedy": one.verdict.remedy,
                "seconds": one.seconds,
            }
            for one in findings
        ],
    }


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Check → result → what was found → what to do; then the sums."""
    table = Table(
        Column("check", no_wrap=True),
        Column("result", no_wrap=True),
        Column("found", ratio=1, overflow="fold"),
        Column("what to do", ratio=1, overflow="fold"),
        show_lines=True,
    )
    for one in findings:
        table.add_row(
            Text(f"{one.check}\n{one.subject}".rstrip()),
            Text(str(one.result), _STYLES[one.result]),
            Text(one.verdict.found),
            Text(one.verdict.remedy),
        )
    console.print(table)
    console.print(", ".join(f"{count} {result}" for result, count in _counts(findings).items()))


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    counted = Counter(one.result for one in findings)
    return {str(result): counted[result] for result in Result}
