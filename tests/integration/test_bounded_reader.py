"""Reading in a child process: the same radiographs, and no harm from a decoder that misbehaves."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dicom_node.bounded_reader import MIB, BoundedReader
from dicom_node.errors import ReadingFailed, UnreadableInstance
from dicom_node.radiograph import NotEligible, PixelLimits, Radiograph, Reason, read_radiographs
from tests.security.decoders import MARK
from tests.unit.dicom_node.instances import put_pixels, radiograph_dataset, write_instance

LIMITS = PixelLimits()
SCOPE = frozenset({"HAND"})

MakeReader = Callable[..., BoundedReader]


@pytest.fixture
def make_reader() -> Iterator[MakeReader]:
    made: list[BoundedReader] = []

    def make(name: str = "", timeout_s: float = 30, memory_mib: int = 1024) -> BoundedReader:
        named = {"reader": f"tests.security.decoders:{name}"} if name else {}
        reader = BoundedReader(timeout_s=timeout_s, memory_bytes=memory_mib * MIB, **named)
        made.append(reader)
        return reader

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_instance(radiograph_dataset(1), tmp_path / "good.dcm")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    dataset = radiograph_dataset(2)
    dataset.ImageComments = MARK.decode()
    return write_instance(dataset, tmp_path / "bad.dcm")


def _read(reader: BoundedReader, path: Path) -> list[Radiograph]:
    return reader.read(path, limits=LIMITS, scope=SCOPE)


def test_the_child_reads_what_we_would_read_ourselves(
    make_reader: MakeReader, tmp_path: Path
) -> None:
    dataset = radiograph_dataset()
    put_pixels(dataset, np.arange(3 * 20 * 10, dtype=np.uint16).reshape(3, 20, 10))
    path = write_instance(dataset, tmp_path / "frames.dcm")

    frames = _read(make_reader(), path)

    for ours, childs in zip(
        read_radiographs(path, limits=LIMITS, scope=SCOPE), frames, strict=True
    ):
        np.testing.assert_array_equal(ours.pixels, childs.pixels)
        assert ours.reference == childs.reference
        assert ours.frame_number == childs.frame_number
        assert ours.pixel_spacing == childs.pixel_spacing


def test_the_pixels_may_be_written_to(make_reader: MakeReader, good: Path) -> None:
    (radiograph,) = _read(make_reader(), good)
    radiograph.pixels[0, 0] = 1


def test_reasons_not_to_analyse_come_back_as_they_are(
    make_reader: MakeReader, good: Path, tmp_path: Path
) -> None:
    reader = make_reader()
    with pytest.raises(NotEligible, match="HAND") as caught:
        reader.read(good, limits=LIMITS, scope={"KNEE"})
    assert caught.value.reason is Reason.LIMB_NOT_COVERED

    (tmp_path / "text.dcm").write_text("no DICOM at all")
    with pytest.raises(UnreadableInstance):
        _read(reader, tmp_path / "text.dcm")


def test_the_child_is_kept_for_the_next_instance(make_reader: MakeReader, good: Path) -> None:
    reader = make_reader()
    _read(reader, good)
    before = _children()
    _read(reader, good)
    assert _children() == before


@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ("crashing", "signal 11"),
        ("hanging", "longer than 5 s"),
        ("swallowing", "more than 1024 MiB"),
        ("leaving", "exit status 3"),
    ],
)
def test_a_decoder_that_misbehaves_costs_its_instance_alone(
    make_reader: MakeReader, good: Path, bad: Path, decoder: str, reason: str
) -> None:
    reader = make_reader(decoder, timeout_s=5)
    assert len(_read(reader, good)) == 1

    began = time.monotonic()
    with pytest.raises(ReadingFailed, match=reason):
        _read(reader, bad)

    assert time.monotonic() - began < 20
    assert len(_read(reader, good)) == 1


def test_nothing_is_left_of_the_child_after_closing(make_reader: MakeReader, good: Path) -> None:
    before, descriptors = _children(), len(os.listdir("/proc/self/fd"))
    reader = make_reader()
    frames = _read(reader, good)
    del frames
    reader.close()

    assert _children() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_notes_on_reading_come_back_from_the_child(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    dataset.PresentationLUTShape = "INVERSE"
    path = write_instance(dataset, tmp_path / "a.dcm")

    with BoundedReader(timeout_s=30, memory_bytes=4 * 1024**3) as reader:
        (radiograph,) = reader.read(path, limits=PixelLimits(), scope={"HAND"})

    assert "contradicts" in radiograph.notes[0]
