"""`python -m tests.fuzz --cases 100000` (or `make fuzz CASES=100000`): every target with both
drivers, a table, and exit status 1 upon a finding. `--target decode --driver atheris` chooses one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.targets import KINDS

DRIVERS = {"hypothesis": "tests.fuzz.with_hypothesis", "atheris": "tests.fuzz.with_atheris"}


@dataclass(frozen=True)
class Figures:
    """Of one driver's run of one target; `notes` count what went wrong within the contract."""

    cases: int = 0
    seconds: float = 0.0
    findings: int = 1
    notes: dict[str, int] = field(default_factory=dict)


def run(target: str, driver: str, cases: int, seed: int, findings: Path) -> Figures:
    """In a process of its own; one that dies is a finding, and its last case is kept."""
    folder = findings / driver
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", DRIVERS[driver], "--target", target, "--runs", str(cases)]
    command += ["--seed", str(seed), "--findings", str(folder)]
    with (folder / f"{target}.log").open("wb") as log:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=log)
    lines = ended.stdout.decode().splitlines()
    if ended.returncode == 0 and lines:
        return Figures(**json.loads(lines[-1]))
    print(f"{target} with {driver} ended with status {ended.returncode}", file=sys.stderr)
    return Figures()


def main() -> None:
    """Run, print the table."""
    chosen = _arguments()
    findings = chosen.findings or Path(tempfile.mkdtemp(prefix="fracture-screen-fuzz-"))
    print(f"findings go to {findings}", flush=True)
    print("target     | driver     |   cases | seconds | cases/s | findings | within the contract")
    total = found = 0
    for target in chosen.target or KINDS:
        drivers = chosen.driver or DRIVERS
        for driver in drivers:
            cases = chosen.runs or round(chosen.cases * KINDS[target].share / len(drivers))
            figures = run(target, driver, cases, chosen.seed, findings)
            total, found = total + figures.cases, found + figures.findings
            print(_row(target, driver, figures), flush=True)
    print(f"{total} cases, {found} findings")
    sys.exit(1 if found else 0)


def _row(target: str, driver: str, figures: Figures) -> str:
    notes = "; ".join(f"{count} x {note}" for note, count in sorted(figures.notes.items()))
    return (
        f"{target:10} | {driver:10} | {figures.cases:7} | {figures.seconds:7.0f} | "
        f"{figures.cases / max(figures.seconds, 1e-9):7.0f} | {figures.findings:8} | {notes}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="of all targets and drivers")
    parser.add_argument("--runs", type=int, help="cases of each target and driver instead")
    parser.add_argument("--target", choices=KINDS, action="append")
    parser.add_argument("--driver", choices=DRIVERS, action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, help="folder; a temporary one by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
