from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicom_node.data_set_scan import scan_data_set
from dicom_node.errors import MalformedInstance
from dicom_node.received import check_uid, identify
from tests.unit.dicom_node.instances import encoded, radiograph_dataset


def _with_sequences() -> Dataset:
    dataset = radiograph_dataset()
    inner, outer = Dataset(), Dataset()
    inner.CodeValue = "1"
    outer.ConceptCodeSequence = Sequence([inner, inner])
    outer["ConceptCodeSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    dataset.ProcedureCodeSequence = Sequence([outer])
    dataset["ProcedureCodeSequence"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize("implicit_vr", [True, False])
def test_a_whole_data_set_gives_its_uids(implicit_vr: bool) -> None:
    dataset = _with_sequences()

    found, _ = scan_data_set(
        memoryview(encoded(dataset, implicit_vr=implicit_vr)), implicit_vr=implicit_vr
    )

    assert found.sop_instance_uid == dataset.SOPInstanceUID
    assert found.sop_class_uid == dataset.SOPClassUID
    assert found.study_instance_uid == dataset.StudyInstanceUID
    assert found.series_instance_uid == dataset.SeriesInstanceUID


@pytest.mark.parametrize("implicit_vr", [True, False])
def test_a_data_set_cut_anywhere_but_between_elements_is_malformed(implicit_vr: bool) -> None:
    dataset = _with_sequences()
    whole = encoded(dataset, implicit_vr=implicit_vr)
    boundaries = {
        len(whole) - len(encoded(dataset[element.tag :], implicit_vr=implicit_vr))
        for element in dataset
    }

    for length in range(1, len(whole)):
        if length in boundaries:
            continue
        with pytest.raises(MalformedInstance):
            scan_data_set(memoryview(whole[:length]), implicit_vr=implicit_vr)


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"\x01\x02\x03\x04\x05\x06\x07"])
def test_trailing_bytes_are_malformed(tail: bytes) -> None:
    with pytest.raises(MalformedInstance, match="stray"):
        scan_data_set(memoryview(encoded(radiograph_dataset()) + tail), implicit_vr=False)


def test_sequences_nested_too_deep_are_malformed() -> None:
    sequence = b"\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"

    with pytest.raises(MalformedInstance, match="nested"):
        scan_data_set(memoryview((sequence + item) * 5000), implicit_vr=False)


@pytest.mark.parametrize("delimiter", [b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"])
def test_a_delimiter_with_a_length_is_malformed(delimiter: bytes) -> None:
    whole = encoded(_with_sequences())
    assert delimiter + bytes(4) in whole

    broken = whole.replace(delimiter + bytes(4), delimiter + b"SQ\0\0")
    with pytest.raises(MalformedInstance, match="has a length"):
        scan_data_set(memoryview(broken), implicit_vr=False)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"\xfe\xff\xdd\xe0\0\0\0\0", b"", "outside a sequence"),
        (b"\x02\x00\x10\x00UI\x02\x001.", b"", "belongs to no data set"),
        (b"", b"\x10\x00\x20\x00LO\x02\x00ID", "after the pixels"),
    ],
)
def test_what_parsers_would_not_see_is_malformed(before: bytes, after: bytes, reason: str) -> None:
    whole = before + encoded(radiograph_dataset()) + after

    with pytest.raises(MalformedInstance, match=reason):
        scan_data_set(memoryview(whole), implicit_vr=False)


def test_explicit_vr_where_implicit_vr_is_stated_is_malformed() -> None:
    with pytest.raises(MalformedInstance, match="encoded in explicit VR"):
        scan_data_set(memoryview(encoded(radiograph_dataset())), implicit_vr=True)


def test_implicit_vr_where_explicit_vr_is_stated_is_read_as_pydicom_reads_it() -> None:
    dataset = radiograph_dataset()

    found, _ = scan_data_set(memoryview(encoded(dataset, implicit_vr=True)), implicit_vr=False)

    assert found.sop_instance_uid == dataset.SOPInstanceUID


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_either_scanned_or_malformed(junk: bytes, implicit_vr: bool) -> None:
    with suppress(MalformedInstance):
        scan_data_set(memoryview(junk), implicit_vr=implicit_vr)


@pytest.mark.parametrize("bad", ["", "../../x", "1..2", ".1", "1.", "1.a", "1" * 65, "1.2\n"])
def test_a_bad_uid_is_malformed(bad: str) -> None:
    with pytest.raises(MalformedInstance, match="not a valid UID"):
        check_uid(bad, "SOP Instance UID")


@pytest.mark.parametrize("good", ["1", "1.2.840.10008.1.1", "2.25." + "1" * 59, "1.02.3"])
def test_a_good_uid_passes(good: str) -> None:
    check_uid(good, "SOP Instance UID")


def test_an_instance_without_study_uid_is_malformed() -> None:
    dataset = radiograph_dataset()
    del dataset.StudyInstanceUID

    with pytest.raises(MalformedInstance, match="Study Instance UID"):
        identify(memoryview(encoded(dataset)), implicit_vr=False)
