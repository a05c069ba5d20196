"""An installation to plant faults in, and the doctor called on it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.servers.ports import free_port
from worker.doctor.checks import all_checks
from worker.doctor.examination import examine
from worker.doctor.finding import CheckName, Finding, Result
from worker.doctor.run import Wishes, examine_site
from worker.doctor.site import Site

Table = dict[str, object]


@dataclass
class Installation:
    """Settings in a file of the test's folder; everything can be put into them."""

    folder: Path
    top: Table = field(default_factory=dict)
    sections: dict[str, Table] = field(default_factory=dict)
    tables: list[tuple[str, Table]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        self.config = self.folder / "settings.toml"
        self.top = {"data_folder": self.data, **self.top}
        self.sections = {
            "listener": {"host": "127.0.0.1", "port": free_port(), "minimum_free_mib": 1},
            "monitor": {"port": free_port(), "disk_warning_mib": 2},
        } | self.sections

    def examine(self, *names: CheckName, store: bool = False, move: bool = False) -> list[Finding]:
        """The findings of these checks, as the command makes them."""
        self.write()
        others = tuple(name for name in CheckName if name not in names)
        findings = examine_site(self.config, Wishes(store, move, others, timeout_s=3))
        return [finding for finding in findings if finding.check in names]

    def look(self, name: CheckName, *, store: bool = False, move: bool = False) -> Finding:
        """The one finding of this check."""
        (finding,) = self.examine(name, store=store, move=move)
        return finding

    def look_at(self, site: Site, name: CheckName) -> Finding:
        """Likewise, with a site of the test's own making."""
        (finding,) = examine(check for check in all_checks(site) if check.name is name)
        return finding

    def write(self) -> None:
        """The settings as a file for us alone."""
        lines = _lines(self.top)
        for name, table in self.sections.items():
            lines += [f"[{name}]", *_lines(table)]
        for name, table in self.tables:
            lines += [f"[[{name}]]", *_lines(table)]
        self.config.write_text("\n".join(lines) + "\n")
        self.config.chmod(0o600)


def named(finding: Finding, result: Result, *words: str) -> None:
    """The result is this one, and found and remedy hold these words."""
    told = f"{finding.verdict.found} | {finding.verdict.remedy}"
    assert finding.result is result, told
    for word in words:
        assert word in told, told
    assert bool(finding.verdict.remedy) == (result in (Result.WARNING, Result.FAILED)), told


def fault(finding: Finding, *words: str) -> None:
    """It failed, and says so with these words."""
    named(finding, Result.FAILED, *words)


def warned(finding: Finding, *words: str) -> None:
    """Likewise of a warning."""
    named(finding, Result.WARNING, *words)


def healthy(finding: Finding, *words: str) -> None:
    """Likewise of what is as it should be."""
    named(finding, Result.OK, *words)


Clock = Callable[[], datetime]


def _lines(table: Table) -> list[str]:
    return [f"{key} = {json.dumps(_plain(value))}" for key, value in table.items()]


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
