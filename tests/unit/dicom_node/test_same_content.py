"""Which files hold the same data set."""

from pathlib import Path

import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.same_content import same_content
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance

IMPLICIT, EXPLICIT = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)


def rich_dataset(*, undefined_length: bool = False) -> Dataset:
    """Nested and private sequences, a private value, numbers."""
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "Hand"
    item = Dataset()
    item.AnatomicRegionModifierSequence = Sequence([inner])
    item.CodeValue = "2"
    dataset = radiograph_dataset()
    dataset.AnatomicRegionSequence = Sequence([item, Dataset()])
    block = dataset.private_block(0x0029, "TEST", create=True)
    block.add_new(1, "LO", "private")
    block.add_new(2, "SQ", Sequence([inner]))
    dataset.KVP = "55.5"
    for tag in ((0x0008, 0x2218), (0x0029, 0x1002)):
        dataset[tag].is_undefined_length = undefined_length
    return dataset


@pytest.mark.parametrize("undefined_length", [False, True])
def test_implicit_and_explicit_vr_of_one_data_set_are_the_same(
    tmp_path: Path, undefined_length: bool
) -> None:
    one = write_instance(rich_dataset(), tmp_path / "one", EXPLICIT)
    changed = rich_dataset(undefined_length=undefined_length)
    other = write_instance(changed, tmp_path / "other", IMPLICIT)
    assert one.read_bytes() != other.read_bytes()
    assert same_content(one, other)
    assert same_content(other, one)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Phantom^Other"),
        ("PatientID", "PHANTOM2"),
        ("KVP", "55.6"),
        ("BitsStored", 11),
        ("PatientComments", "more"),
    ],
)
def test_another_value_is_another_content(tmp_path: Path, keyword: str, value: object) -> None:
    changed = rich_dataset()
    setattr(changed, keyword, value)
    one = write_instance(rich_dataset(), tmp_path / "one", EXPLICIT)
    assert not same_content(one, write_instance(changed, tmp_path / "other", IMPLICIT))


def test_other_pixels_and_other_items_are_another_content(tmp_path: Path) -> None:
    one = write_instance(rich_dataset(), tmp_path / "one", EXPLICIT)
    pixels = rich_dataset()
    pixels.PixelData = pixels.PixelData[:-2] + b"\x01\x00"
    assert not same_content(one, write_instance(pixels, tmp_path / "pixels", IMPLICIT))
    items = rich_dataset()
    del items.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning
    assert not same_content(one, write_instance(items, tmp_path / "items", IMPLICIT))
    fewer = rich_dataset()
    fewer.AnatomicRegionSequence = Sequence(fewer.AnatomicRegionSequence[:1])
    assert not same_content(one, write_instance(fewer, tmp_path / "fewer", IMPLICIT))


def test_what_cannot_be_compared_is_not_the_same(tmp_path: Path) -> None:
    one = write_instance(rich_dataset(), tmp_path / "one", EXPLICIT)
    deflated = str(DeflatedExplicitVRLittleEndian)
    assert not same_content(one, write_instance(rich_dataset(), tmp_path / "deflated", deflated))
    cut = tmp_path / "cut"
    cut.write_bytes(one.read_bytes()[:-7])
    assert not same_content(one, cut)
    assert not same_content(one, tmp_path / "missing")
    (tmp_path / "empty").touch()
    assert not same_content(one, tmp_path / "empty")
