"""`python -m tests.bench.soak --minutes 60`: mixed traffic for an hour; what grows meanwhile?

All services run as deployed, with a PACS that takes the results. Every second something happens to
the listener: studies, late instances, instances sent again, objects cut short, associations broken
off in the middle of a data set, half-open connections, other protocols, and bare TCP probes on both
ports throughout. Memory, threads and descriptors of each process are read from /proc; what it has
in use, it tells itself (`tests/bench/in_use`). Exit status 1 when threads or descriptors of the
listener did not come back, or when a study was not finished.
"""

import argparse
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dicom_node.errors import AssociationFailed
from dicom_node.storage_scu import echo
from tests.radiographs import Phantom, write_phantom
from tests.security import wire
from tests.servers.ports import free_port
from tests.servers.product import Product, configure, destination_toml
from tests.servers.scripted_pacs import ScriptedPacs
from worker.certificates import make_certificates

PROBES_PER_S = 5
WARM_UP_SHARE = 1 / 6
SETTLE_S = 90.0


@dataclass(frozen=True)
class Sample:
    """One process at one moment; memory in MiB, time in seconds since the start."""

    time_s: float
    process: str
    memory: float
    threads: int
    descriptors: int
    heap: float
    """MiB that the C library has given away."""
    blocks: int
    """That Python has given away."""


class Traffic:
    """Draws what happens next; `counts` tells how often each happened."""

    def __init__(self, product: Product, tls_port: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.sent: list[Phantom] = []
        self._product, self._tls_port = product, tls_port
        self._random = random.Random(seed)
        self._folder = product.folder / "in"
        self._kinds: dict[Callable[[], None], int] = {
            self.new_study: 8,
            self.late_instance: 1,
            self.again: 2,
            self.verification: 2,
            self.cut_short: 1,
            self.broken_off: 2,
            self.half_open: 2,
            self.other_protocol: 2,
        }

    def step(self) -> None:
        """One thing that happens."""
        (kind,) = self._random.choices(list(self._kinds), list(self._kinds.values()))
        with suppress(OSError, AssociationFailed):
            kind()
        self.counts[kind.__name__] += 1

    def probe(self) -> None:
        """A load balancer's look at both ports."""
        for port in (self._port, self._tls_port):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 5).close()
            self.counts["probe"] += 1

    def new_study(self) -> None:
        self._send(write_phantom(self._folder, f"soak {len(self.sent)}", 1))

    def late_instance(self) -> None:
        name = f"soak {self._random.randrange(len(self.sent) + 1)}"
        self._send(write_phantom(self._folder, name, 2))

    def again(self) -> None:
        if self.sent:
            self._product.send([self._random.choice(self.sent).path])

    def verification(self) -> None:
        echo(self._product.node, calling_ae_title="SOAK")

    def cut_short(self) -> None:
        with self._association() as peer:
            data_set = wire.store_data_set(extra=wire.element(0x7FE0, 0x10, bytes(100_000)))
            peer.sendall(wire.p_data(wire.store_command(), command=True, last=True))
            peer.sendall(wire.p_data(data_set[:-5000], command=False, last=True))
            wire.read_pdu(peer)

    def broken_off(self) -> None:
        with self._association() as peer:
            peer.sendall(wire.p_data(wire.store_command(), command=True, last=True))
            peer.sendall(wire.p_data(bytes(60_000), command=False, last=False))

    def half_open(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 5) as peer:
            peer.sendall(wire.associate_request()[:50])
            time.sleep(0.5)

    def other_protocol(self) -> None:
        port = self._random.choice((self._port, self._tls_port))
        with socket.create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            peer.recv(100)

    def _association(self) -> socket.socket:
        return wire.associated(self._port, source="127.0.0.1")

    def _send(self, phantom: Phantom) -> None:
        self._product.send([phantom.path])
        self.sent.append(phantom)

    @property
    def _port(self) -> int:
        return self._product.settings.listener.port


def look(product: Product, began: float) -> list[Sample]:
    """Each process now, once it has told what it has in use."""
    now = time.monotonic() - began
    samples = []
    for name, process in product.processes.items():
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in status)
        in_use = product.folder.parent / "in use" / f"{process.pid}.json"
        if not in_use.is_file():
            continue
        told = json.loads(in_use.read_text())
        samples.append(
            Sample(
                round(now, 1),
                name,
                int(values["VmRSS"].split()[0]) / 1024,
                int(values["Threads"]),
                len(list(Path(f"/proc/{process.pid}/fd").iterdir())),
                told["heap"],
                told["blocks"],
            )
        )
    return samples


def soak(product: Product, traffic: Traffic, minutes: float, log: Path) -> list[Sample]:
    """Traffic, then none until all is quiet; samples every 10 s, the last ones at rest."""
    began, samples = time.monotonic(), []
    over = threading.Event()
    prober = threading.Thread(target=_probe, args=(traffic, over))
    prober.start()
    with log.open("w") as lines:
        while time.monotonic() - began < minutes * 60:
            if not samples or time.monotonic() - began - samples[-1].time_s >= 10:
                seen = look(product, began)
                lines.writelines(json.dumps(asdict(one)) + "\n" for one in seen)
                lines.flush()
                samples += seen
                sys.stderr.write(f"\r{samples[-1].time_s / 60:5.1f} min {dict(traffic.counts)}")
            traffic.step()
            time.sleep(0.5)
    over.set()
    prober.join()
    sys.stderr.write("\n")
    for phantom in {one.study_instance_uid: one for one in traffic.sent}.values():
        product.wait_until_finished(phantom.study_instance_uid)
    time.sleep(SETTLE_S)
    return samples + look(product, began)


def _probe(traffic: Traffic, over: threading.Event) -> None:
    while not over.wait(1 / PROBES_PER_S):
        traffic.probe()


def _have_services_tell(folder: Path) -> None:
    """Processes of this run, found by a variable of the environment that they inherit."""
    folder.mkdir()
    os.environ["SOAK_IN_USE"] = str(folder)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent / "in_use")


def _slope(samples: list[Sample]) -> str:
    """Growth of memory in MiB per hour and its standard error, by least squares."""
    hours = np.array([one.time_s for one in samples]) / 3600
    memory = np.array([one.memory for one in samples])
    if len(samples) < 3:
        return "too short"
    (growth, _), covariance = np.polyfit(hours, memory, 1, cov=True)
    return f"{growth:+.1f} ± {np.sqrt(covariance[0, 0]):.1f}"


def print_table(samples: list[Sample]) -> None:
    """A row per process.

    Freed memory stays with the C library and with Python in pieces, until they have as many as they
    need: resident memory that grows ever more slowly is that. What is in use is least between two
    connections, so its least values in the second and in the last quarter tell what is kept.
    """
    end = max(one.time_s for one in samples)
    sys.stdout.write(
        "| process | MiB at first / last | MiB/h after warm-up | MiB/h in the second half "
        "| least in use, MiB of heap and Python blocks, 2nd and 4th quarter "
        "| threads, min-max / at rest | descriptors, min-max / at rest |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    for name in dict.fromkeys(one.process for one in samples):
        all_of_it = [one for one in samples if one.process == name]
        warm, rest = [one for one in all_of_it if one.time_s > end * WARM_UP_SHARE], all_of_it[-1]
        later = [one for one in warm[:-1] if one.time_s > end / 2]
        threads, descriptors = [[getattr(one, what) for one in warm] for what in _COUNTED]
        sys.stdout.write(
            f"| {name} | {all_of_it[0].memory:.0f} / {rest.memory:.0f} "
            f"| {_slope(warm[:-1])} | {_slope(later)} "
            f"| {_least(all_of_it, end / 4, end / 2)}, {_least(all_of_it, end * 3 / 4, end)} "
            f"| {min(threads)}-{max(threads)} / {rest.threads} "
            f"| {min(descriptors)}-{max(descriptors)} / {rest.descriptors} |\n"
        )


def _least(samples: list[Sample], start: float, end: float) -> str:
    within = [one for one in samples if start <= one.time_s <= end]
    if not within:
        return "too short"
    heap, blocks = min(one.heap for one in within), min(one.blocks for one in within)
    return f"{heap:.1f} and {blocks:,}"


_COUNTED = ("threads", "descriptors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="samples as JSON lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ScriptedPacs() as pacs:
        folder, tls_port = Path(name), free_port()
        _have_services_tell(folder / "in use")
        certificates = folder / "certificates"
        (pair,) = make_certificates(certificates, ["LISTENER"], ["localhost"])
        tls = f'certificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
        tls += f'authority = "{certificates / "authority.crt"}"\n'
        toml = f"[listener.tls]\nport = {tls_port}\n{tls}"
        toml += destination_toml("pacs", pacs.ae_title, pacs.port)
        product = configure(folder / "product", toml)
        product.start()
        try:
            traffic = Traffic(product, tls_port, options.seed)
            samples = soak(product, traffic, options.minutes, options.log)
        finally:
            product.stop()
    print_table(samples)
    sys.stdout.write(f"{dict(traffic.counts)}; {len(pacs.received)} objects in the PACS\n")
    first, last = (
        [one for one in samples if one.process == "listener"][index] for index in (0, -1)
    )
    grown = last.threads > first.threads + 2 or last.descriptors > first.descriptors + 2
    sys.exit(1 if grown else 0)


if __name__ == "__main__":
    main()
