"""`up` with default settings: how soon it answers, and what it costs while nothing happens.

Run by hand: `python -m tests.bench.up`, on two idle cores. Measured from the start of the command:
the first answer to C-ECHO, and the first result object of a study (sent as soon as the echo was
answered) at a stand-in PACS. Then, after a minute of rest, the CPU time of all processes and what
memory is theirs (PSS: shared pages count once); last, how long studies take that come one by one
after that. Of the settings only ports, the data folder, the
destination and the quiet period (one second, as in the demo) are not the default.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import AssociationFailed
from dicom_node.storage_scu import echo
from tests.radiographs import Phantom, write_phantom
from tests.servers.pacs import FolderPacs
from tests.servers.ports import free_port
from tests.servers.product import Product, clean_environment, command
from worker.settings import load_settings

QUIET_S = 1.0
STUDIES = 10
PATIENCE_S = 180.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One process of `up` at one moment."""

    name: str
    cpu_s: float
    pss_mib: float


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the command, and the CPU time of all processes until then."""

    echo_s: float
    result_s: float
    cpu_s: float


@dataclass(frozen=True)
class Site:
    """The product that runs, and the PACS that gets its results."""

    folder: Path
    product: Product
    pacs: FolderPacs
    pid: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How soon `up` answers, and what it costs idle.")
    parser.add_argument("--starts", type=int, default=3, help="measured starts; the last one idles")
    parser.add_argument(
        "--rest", type=float, default=30.0, help="seconds before idling is measured"
    )
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of idling measured")
    wanted = parser.parse_args()
    print(f"load average at the start: {os.getloadavg()[0]:.2f}")
    for number in range(1, wanted.starts + 1):
        with tempfile.TemporaryDirectory() as name, running(Path(name)) as (site, start):
            print(
                f"start {number}: C-ECHO after {start.echo_s:.2f} s, first result after "
                f"{start.result_s:.2f} s, of which {QUIET_S:g} s are the quiet period; "
                f"{start.cpu_s:.1f} s of CPU time"
            )
            if number == wanted.starts:
                time.sleep(wanted.rest)
                _print_idle(site.pid, wanted.idle)
                _print_latency(site)


@contextmanager
def running(folder: Path) -> Iterator[tuple[Site, Start]]:
    """`up` in a new data folder, after its first result came."""
    phantom = write_phantom(folder / "in", "first")
    with FolderPacs(folder / "pacs") as pacs:
        product = _configure(folder, pacs.port)
        with (folder / "log.jsonl").open("ab") as log:
            started = time.monotonic()
            up = subprocess.Popen(
                command("--config", str(product.config), "up"),
                stderr=log,
                env=clean_environment(),
            )
        try:
            site = Site(folder, product, pacs, up.pid)
            yield site, _first_answers(site, phantom, started)
        finally:
            up.terminate()
            up.wait(90)


def _configure(folder: Path, pacs_port: int) -> Product:
    config = folder / "settings.toml"
    config.write_text(
        f'data_folder = "{folder / "data"}"\n'
        f"[listener]\nport = {free_port()}\n[monitor]\nport = {free_port()}\n"
        f"[worklist]\nport = {free_port()}\n[study]\nquiet_period_s = {QUIET_S}\n"
        f'[[destinations]]\nname = "pacs"\nae_title = "{FolderPacs.ae_title}"\n'
        f'host = "127.0.0.1"\nport = {pacs_port}\n'
    )
    return Product(folder, load_settings(config), config)


def _first_answers(site: Site, phantom: Phantom, started: float) -> Start:
    while not _answers(site.product):
        _require_patience(site.product, started)
        time.sleep(0.05)
    echo_s = time.monotonic() - started
    site.product.send([phantom.path])
    while not site.pacs.received:
        _require_patience(site.product, started)
        time.sleep(0.02)
    result_s = time.monotonic() - started
    return Start(echo_s, result_s, sum(process.cpu_s for process in processes(site.pid).values()))


def _answers(product: Product) -> bool:
    try:
        echo(product.node, calling_ae_title="TESTMODALITY")
    except AssociationFailed:
        return False
    return True


def _require_patience(product: Product, started: float) -> None:
    if time.monotonic() - started > PATIENCE_S:
        raise SystemExit(f"waited {PATIENCE_S:g} s\n{product.log()}")


def _print_idle(pid: int, seconds: float) -> None:
    before, began = processes(pid), time.monotonic()
    time.sleep(seconds)
    after, lasted = processes(pid), time.monotonic() - began
    cpu, pss = 0.0, 0.0
    for process_id, process in after.items():
        earlier = before.get(process_id)
        share = 100 * (process.cpu_s - (earlier.cpu_s if earlier else 0.0)) / lasted
        cpu, pss = cpu + share, pss + process.pss_mib
        print(f"{share:6.2f} %  {process.pss_mib:7.1f} MiB  {process.name}")
    print(
        f"{cpu:6.2f} %  {pss:7.1f} MiB  all {len(after)} processes, idle for {lasted:.0f} s "
        f"(% of one core; PSS); load average {os.getloadavg()[0]:.2f}"
    )


def _print_latency(site: Site) -> None:
    """Send studies in turn, each after the results of the study before and a pause."""
    seconds = []
    for number in range(STUDIES):
        time.sleep(3)
        phantom = write_phantom(site.folder / "in", f"later {number}")
        before, sent = len(site.pacs.received), time.monotonic()
        site.product.send([phantom.path])
        while len(site.pacs.received) == before:
            _require_patience(site.product, sent)
            time.sleep(0.01)
        seconds.append(time.monotonic() - sent)
    print(
        f"C-STORE to the first result in the PACS, {STUDIES} studies that come singly: median "
        f"{statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"
    )


def processes(parent: int) -> Mapping[int, Process]:
    """A process and all below it, by process id."""
    found = {parent: _process(parent)}
    for child in _children(parent):
        found |= processes(child)
    return found


def _children(pid: int) -> list[int]:
    listed: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        listed += map(int, (task / "children").read_text().split())
    return listed


def _process(pid: int) -> Process:
    folder = Path(f"/proc/{pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    rollup = (folder / "smaps_rollup").read_text().splitlines()
    (pss,) = (line.split()[1] for line in rollup if line.startswith("Pss:"))
    arguments = (folder / "cmdline").read_bytes().decode().strip("\0").split("\0")
    return Process(_short(" ".join(arguments)), used, int(pss) / 1024)


def _short(arguments: str) -> str:
    """Without interpreter, settings file and supervisor: the sub-command."""
    words = arguments.split("--supervisor")[0].split(".toml")[-1].split()
    return " ".join(words)[-60:]


if __name__ == "__main__":
    main()
