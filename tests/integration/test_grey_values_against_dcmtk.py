"""What DCMTK's dcm2pnm shows of an image is what we show, over the ways in which a header says it.

Tolerance: one of DCMTK's 256 grey values, because it rounds down. DCMTK 3.6 differs from us twice:

- LINEAR_EXACT (PS3.3 C.11.2.1.3.2) it shows as LINEAR, which is up to two grey values beside it.
- MONOCHROME1 with Presentation LUT Shape IDENTITY, which PS3.3 Table C.8-71 forbids, it shows as
  MONOCHROME2. We follow the Photometric Interpretation and note the contradiction.
"""

import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicom_node.radiograph import PixelLimits, read_radiographs
from tests.servers.dcmtk import needs_dcmtk
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

pytestmark = needs_dcmtk

TOLERANCE = 1.01 / 255
TOLERANCE_OF_LINEAR_EXACT = 2.01 / 255

BITS = [(8, 7), (10, 9), (12, 11), (12, 15), (16, 15)]
"""Bits Stored and High Bit; all but the first in cells of 16 bits."""

WINDOWS = ["none", "LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT"]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("bits_stored", "high_bit"), BITS)
@pytest.mark.parametrize("window", WINDOWS)
def test_we_show_what_dcmtk_shows(
    tmp_path: Path, window: str, bits_stored: int, high_bit: int, signed: bool
) -> None:
    for number, (photometric, shape) in enumerate(
        itertools.product(["MONOCHROME1", "MONOCHROME2"], [None, "IDENTITY", "INVERSE"])
    ):
        dataset = _dataset(bits_stored, high_bit, signed=signed)
        dataset.PhotometricInterpretation = photometric
        if shape:
            dataset.PresentationLUTShape = shape
        options = _set_window(dataset, window, bits_stored, signed=signed)
        path = write_instance(dataset, tmp_path / f"{number}.dcm")

        (radiograph,) = read_radiographs(path, limits=PixelLimits(), scope={"HAND"})

        expected = _shown_by_dcmtk(path, options)
        if (photometric, shape) == ("MONOCHROME1", "IDENTITY"):
            expected = 1 - expected
        difference = np.abs(radiograph.pixels - expected).max()
        tolerance = TOLERANCE_OF_LINEAR_EXACT if window == "LINEAR_EXACT" else TOLERANCE
        assert difference <= tolerance, (photometric, shape)


def _dataset(bits_stored: int, high_bit: int, *, signed: bool) -> Dataset:
    """A gradient over all values, in the bits stated."""
    lowest = -(2 ** (bits_stored - 1)) if signed else 0
    values = np.linspace(lowest, lowest + 2**bits_stored - 1, 32 * 32).round().astype(np.int64)
    cells = (values << (high_bit + 1 - bits_stored)).reshape(32, 32)
    dataset = radiograph_dataset(rows=32, columns=32)
    dataset.BitsAllocated = 8 if bits_stored == 8 else 16
    dataset.BitsStored, dataset.HighBit = bits_stored, high_bit
    dataset.PixelRepresentation = int(signed)
    kind = "i" if signed else "u"
    dataset.PixelData = cells.astype(f"<{kind}{dataset.BitsAllocated // 8}").tobytes()
    return dataset


def _set_window(dataset: Dataset, window: str, bits_stored: int, *, signed: bool) -> list[str]:
    """Set it in the header; return the options with which dcm2pnm uses it."""
    if window == "none":
        return ["+Wm"]
    lowest = -(2 ** (bits_stored - 1)) if signed else 0
    if window == "LUT":
        item = Dataset()
        # Rising, over the middle half of the values.
        first = lowest + 2**bits_stored // 4
        item.add_new("LUTDescriptor", "SS" if signed else "US", [64, first, 8])
        item.add_new("LUTData", "US", list(range(0, 256, 4)))
        dataset.VOILUTSequence = Sequence([item])
        return ["+Wl", "1"]
    dataset.WindowCenter = lowest + 2**bits_stored * 5 / 8
    dataset.WindowWidth = 2**bits_stored / 2
    dataset.VOILUTFunction = window
    return ["+Wi", "1"]


def _shown_by_dcmtk(path: Path, options: list[str]) -> np.ndarray:
    target = path.with_suffix(".pgm")
    command = ["dcm2pnm", *options, "+op", str(path), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    content = target.read_bytes()
    pixels = np.frombuffer(content[-32 * 32 :], np.uint8).reshape(32, 32)
    return pixels / np.float32(255)
