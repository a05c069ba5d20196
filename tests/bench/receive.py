"""`python -m tests.bench.receive`: our listener, DCMTK's storescp and Orthanc in objects/s.

One run, one machine, the same sender (dcmsend, TCP_NODELAY=1). Ours is the product's own `listen`:
fsync of each file and a ledger commit per object; the others do neither. The row "disk alone" says
what these cores and this disk let anyone reach who digests and syncs: no network, no DICOM.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.spool import sync_folder
from dicom_node.storage_scu import echo
from dicom_node.uids import derived_uid
from tests.servers.dcmtk import storescp
from tests.servers.orthanc import running_orthanc
from tests.servers.ports import free_port
from tests.unit.dicom_node.instances import put_pixels, radiograph_dataset, write_instance

SIZES = {"7 MB": (2048, 1708), "0.5 MB": (512, 488)}
ASSOCIATIONS = (1, 4, 8)
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}

Receiver = Callable[[Path], AbstractContextManager[RemoteAE]]


@dataclass(frozen=True)
class Measured:
    """Objects per second, per (size, associations)."""

    receiver: str
    rates: dict[tuple[str, int], float]


@contextmanager
def ours(folder: Path, processes: int) -> Iterator[RemoteAE]:
    """`fracture-screen listen`, as it is deployed."""
    port = free_port()
    config = folder / "settings.toml"
    config.write_text(
        f'data_folder = "{folder / "data"}"\n'
        f'[listener]\nhost = "127.0.0.1"\nport = {port}\nminimum_free_mib = 1\n'
    )
    command = [sys.executable, "-m", "worker.cli", "--config", str(config), "listen"]
    command += ["--processes", str(processes)]
    remote = RemoteAE("FRACTURESCREEN", "127.0.0.1", port)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_until_all_answer(remote, folder / "log", processes)
            yield remote
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def dcmtk(folder: Path) -> Iterator[RemoteAE]:
    """storescp, a process per association."""
    with storescp(folder, "--fork") as remote:
        yield remote


@contextmanager
def orthanc(folder: Path) -> Iterator[RemoteAE]:
    """Orthanc with its own SQLite index."""
    with running_orthanc(folder) as server:
        yield server.remote


RECEIVERS: dict[str, Receiver] = {
    "ours, 1 process": lambda folder: ours(folder, 1),
    "ours, 2 processes": lambda folder: ours(folder, 2),
    "DCMTK storescp": dcmtk,
    "Orthanc": orthanc,
}


def send(remote: RemoteAE, paths: list[Path], associations: int) -> float:
    """Seconds until `associations` dcmsend processes have sent their shares."""
    os.sync()  # what was written before is not on this cell's bill
    shares = [paths[start::associations] for start in range(associations)]
    options = ["--no-uid-checks", "--decompress-never", "-aec", remote.ae_title]
    began = time.monotonic()
    senders = [
        subprocess.Popen(
            ["dcmsend", *options, remote.host, str(remote.port), *map(str, share)],
            env=_ENVIRONMENT,
        )
        for share in shares
    ]
    codes = [sender.wait(600) for sender in senders]
    if any(codes):
        raise RuntimeError(f"dcmsend ended with {codes}")
    return time.monotonic() - began


def make_objects(folder: Path, size: str, count: int) -> list[Path]:
    """CR instances of noise, a study per four."""
    folder.mkdir()
    rows, columns = SIZES[size]
    rng = np.random.default_rng(1)
    paths = []
    for number in range(count):
        dataset = radiograph_dataset(number)
        dataset.StudyInstanceUID = derived_uid("bench study", str(folder), str(number // 4))
        dataset.SeriesInstanceUID = derived_uid("bench series", str(folder), str(number // 4))
        dataset.SOPInstanceUID = derived_uid("bench instance", str(folder), str(number))
        put_pixels(dataset, rng.integers(0, 4096, (rows, columns), dtype=np.uint16))
        paths.append(write_instance(dataset, folder / f"{number}.dcm"))
    return paths


def measure(name: str, objects: dict[tuple[str, int], list[Path]], folder: Path) -> Measured:
    """One receiver, all sizes and associations, the first object sent untimed."""
    rates = {}
    folder.mkdir()
    with RECEIVERS[name](folder) as remote:
        for (size, associations), paths in objects.items():
            send(remote, paths[:1], 1)
            seconds = send(remote, paths[1:], associations)
            rates[size, associations] = (len(paths) - 1) / seconds
    return Measured(name, rates)


def measure_disk(objects: dict[tuple[str, int], list[Path]], folder: Path) -> Measured:
    """Digest, write, fsync, rename and fsync of the folder, in as many threads as associations."""
    folder.mkdir()
    rates = {}
    for (size, associations), paths in objects.items():
        contents = [path.read_bytes() for path in paths]
        os.sync()
        began = time.monotonic()
        with ThreadPoolExecutor(associations) as pool:
            list(pool.map(lambda content: _store_durably(content, folder), contents))
        rates[size, associations] = len(contents) / (time.monotonic() - began)
    return Measured("disk alone", rates)


def _store_durably(content: bytes, folder: Path) -> None:
    unfinished = folder / f"{uuid.uuid4()}.part"
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / hashlib.sha256(content).hexdigest())
    sync_folder(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=48, help="objects of 7 MB per cell")
    parser.add_argument("--small", type=int, default=400, help="objects of 0.5 MB per cell")
    parser.add_argument("--receiver", action="append", choices=list(RECEIVERS))
    options = parser.parse_args()
    counts = {"7 MB": options.large, "0.5 MB": options.small}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = {
            (size, associations): make_objects(
                folder / f"{size}-{associations}", size, counts[size] + 1
            )
            for size in SIZES
            for associations in ASSOCIATIONS
        }
        names = options.receiver or list(RECEIVERS)
        measured = [
            measure(each, objects, folder / f"receiver-{number}")
            for number, each in enumerate(names)
        ]
        measured.append(measure_disk(objects, folder / "disk"))
    print_table(measured)


def print_table(measured: list[Measured]) -> None:
    """Objects per second, and the ratio of our best to each other receiver."""
    cells = list(measured[0].rates)
    heads = [f"{size}, {associations} assoc." for size, associations in cells]
    _print_row("objects/s", heads)
    for each in measured:
        _print_row(each.receiver, [f"{each.rates[cell]:.1f}" for cell in cells])
    mine = [each for each in measured if each.receiver.startswith("ours")]
    for each in measured:
        if mine and each not in mine:
            ratios = [max(one.rates[cell] for one in mine) / each.rates[cell] for cell in cells]
            _print_row(f"ours / {each.receiver}", [f"{ratio:.2f}" for ratio in ratios])


def _print_row(head: str, values: list[str]) -> None:
    sys.stdout.write(f"| {head} | {' | '.join(values)} |\n")


def _wait_until_all_answer(remote: RemoteAE, log: Path, processes: int) -> None:
    deadline = time.monotonic() + 90
    while log.read_bytes().count(b"listener_started") < processes:
        if time.monotonic() > deadline:
            raise TimeoutError("our listener did not start")
        time.sleep(0.1)
    try:
        echo(remote, calling_ae_title="BENCH")
    except AssociationFailed as error:
        raise RuntimeError(f"our listener does not answer: {error}") from error


if __name__ == "__main__":
    main()
