"""Seconds per radiograph of whole screening beside a plain script: same studies, same network.

Run by hand: `python -m tests.bench.screening [--studies 20]`. Ours reads in its child process,
classifies, explains and writes all result objects durably; the peer is `tests.bench.plain_script`.
Each study goes to one and then to the other, so that the ratio holds when the machine drifts.
Studies have two radiographs, of FracAtlas where it lies beside the repository (one with and one
without fracture), else drawn; as they are, and enlarged to 2,500 pixels of 12 bits, as detectors
give them.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dicom_node.image_file import GreyPixels, read_image_file, wrap_as_dx
from dicom_node.received import describe_file
from dicom_node.result_file import write_result
from dicom_node.uids import derived_uid
from tests.radiographs import FRACATLAS, NOW
from worker.composition import make_screener
from worker.phantom import draw_phantom
from worker.results import Source
from worker.screening import Screener
from worker.settings import load_settings

WARM_UP = 2
DETECTOR_SIDE = 2500
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Spent:
    """Seconds over all radiographs."""

    wall: float = 0.0
    cpu: float = 0.0

    def add(self, wall: float, cpu: float) -> None:
        """Count one study."""
        self.wall += wall
        self.cpu += cpu


def main() -> None:
    """Print seconds per radiograph and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=20)
    count = parser.parse_args().studies + WARM_UP
    screener = make_screener(load_settings())
    with tempfile.TemporaryDirectory() as name, plain_script(Path(name)) as peer:
        for title, side in (
            ("as they are", 0),
            (f"{DETECTOR_SIDE} pixels, 12 bits", DETECTOR_SIDE),
        ):
            studies = list(write_studies(Path(name) / str(side), side, count))
            compare(title, studies, screener, peer, Path(name) / f"results {side}")


def compare(
    title: str,
    studies: Sequence[Sequence[Path]],
    screener: Screener,
    peer: "subprocess.Popen[str]",
    out: Path,
) -> None:
    """Screen every study by ours and by the peer, in turn, and print both."""
    ours, theirs, radiographs = Spent(), Spent(), 0
    for number, study in enumerate(studies):
        by_us, by_peer = screen(study, screener, out, peer.pid), ask(peer, study)
        if number >= WARM_UP:
            ours.add(*by_us)
            theirs.add(*by_peer)
            radiographs += len(study)
    print(f"{title}: {radiographs} radiographs")
    for who, spent in (("whole screening", ours), ("plain script", theirs)):
        wall, cpu = spent.wall / radiographs, spent.cpu / radiographs
        print(f"  {who:16} {1000 * wall:7.1f} ms of time, {1000 * cpu:7.1f} ms of CPU each")
    print(f"  ratio: time {theirs.wall / ours.wall:.1f}, CPU {theirs.cpu / ours.cpu:.1f}")


def screen(study: Sequence[Path], screener: Screener, out: Path, peer: int) -> tuple[float, float]:
    """Return seconds and CPU seconds of one study, the reading child's among them."""
    began, cpu = time.perf_counter(), time.process_time() + children_cpu_s(peer)
    described = [describe_file(path, "") for path in study]
    sources = [
        Source(one.sop_instance_uid, one.sop_class_uid, one.sha256, path)
        for one, path in zip(described, study, strict=True)
    ]
    uid = described[0].study_instance_uid
    screener.screen(uid, sources, root=out, folder=uid)
    return time.perf_counter() - began, time.process_time() + children_cpu_s(peer) - cpu


def children_cpu_s(left_out: int) -> float:
    """Return the CPU seconds of this process' children that live, but one (proc(5), stat)."""
    seconds = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == os.getpid() and int(stat.parent.name) != left_out:
            seconds += (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return seconds


@contextmanager
def plain_script(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The peer, its network loaded with the first study."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.plain_script", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def ask(peer: "subprocess.Popen[str]", study: Sequence[Path]) -> tuple[float, float]:
    """Return seconds and CPU seconds that the peer took for a study."""
    if peer.stdin is None or peer.stdout is None:
        raise ValueError("the peer has no pipes")
    peer.stdin.write(json.dumps([str(path) for path in study]) + "\n")
    peer.stdin.flush()
    answer = json.loads(peer.stdout.readline())
    return answer["wall"], answer["cpu"]


def write_studies(folder: Path, side: int, count: int) -> Iterator[list[Path]]:
    """Studies of two radiographs, `side` pixels long; 0: as they are."""
    for number, pair in enumerate(pairs(count)):
        paths = []
        for at, pixels in enumerate(pair):
            name = f"{number} {at} {side}"
            shown = enlarged(pixels, side) if side else pixels
            dataset = wrap_as_dx(
                shown,
                study_instance_uid=derived_uid("bench study", f"{number} {side}"),
                series_instance_uid=derived_uid("bench series", f"{number} {side}"),
                sop_instance_uid=derived_uid("bench", name),
                patient_id="SYNTHETIC-BENCH",
                patient_name="Synthetic^Bench",
                now=NOW,
                synthetic_note="Benchmark",
            )
            if side:
                dataset.BitsStored, dataset.HighBit = 12, 11
                dataset.WindowCenter, dataset.WindowWidth = 2047.5, 4095
            paths.append(folder / f"{name}.dcm")
            write_result(dataset, paths[-1])
        yield paths


def pairs(count: int) -> Iterator[tuple[GreyPixels, GreyPixels]]:
    """A radiograph with and one without a fracture, `count` times."""
    if not FRACATLAS.is_dir():
        for seed in range(count):
            yield draw_phantom(seed, fractured=True), draw_phantom(seed, fractured=False)
        return
    with (FRACATLAS / "images.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    broken, whole = ([row for row in rows if row["fractured"] == value] for value in "10")
    for with_fracture, without in zip(broken[:count], whole[:count], strict=True):
        first, second = (
            read_image_file(FRACATLAS / "images" / row["image_id"])
            for row in (with_fracture, without)
        )
        yield first, second


def enlarged(pixels: GreyPixels, side: int) -> GreyPixels:
    """12 bits with a detector's noise, `side` pixels long."""
    scale = side / max(pixels.shape)
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    large = cv2.resize(pixels.astype(np.float32) * 16, size, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(1).normal(0, 20, large.shape)
    return np.clip(large + noise, 0, 4095).astype(np.uint16)


if __name__ == "__main__":
    main()
