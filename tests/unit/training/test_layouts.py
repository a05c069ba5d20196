"""Every layout gives the same examples, and what is wrong with one is named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dicom_node.image_file import wrap_as_dx
from tests.paths import SHARED_DATA, needs_shared_data
from tests.unit.dicom_node.instances import NOW, write_instance
from tests.unit.training.drawn import (
    dicom_dataset,
    draw,
    draw_classes,
    draw_dicom,
    draw_mura,
    draw_table,
    write_labels,
    write_picture,
)
from tests.unit.training.labelled_folders import draw_fracatlas, make_rows, write_table
from training.data.example import Box
from training.data.layouts import LAYOUTS, read_labelled_folder
from training.data.pixels import read_pixels
from training.errors import DataError

DRAWERS = {
    "fracatlas": draw_fracatlas,
    "mura": draw_mura,
    "dicom": draw_dicom,
    "csv": draw_table,
    "classes": draw_classes,
}


def test_every_layout_of_the_table_is_drawn_by_these_tests() -> None:
    assert {layout.name for layout in LAYOUTS} == DRAWERS.keys()


@pytest.mark.parametrize("layout", DRAWERS)
def test_auto_finds_the_layout_and_every_example_can_be_read(layout: str, tmp_path: Path) -> None:
    folder = DRAWERS[layout](tmp_path / "data")
    found = read_labelled_folder(folder)
    assert found.layout == layout
    assert found == read_labelled_folder(folder, layout)
    assert {example.fractured for example in found.examples} == {True, False}
    for example in found.examples:
        pixels = read_pixels(example.path)
        assert pixels.dtype == np.float32
        assert pixels.ndim == 2
        assert 0 <= pixels.min() < pixels.max() <= 1
        assert found.folder / found.relative(example) == example.path


def test_a_folder_of_no_known_layout_is_refused_with_all_that_was_looked_for(
    tmp_path: Path,
) -> None:
    write_picture(tmp_path / "hands" / "a.png")
    with pytest.raises(DataError, match="has no known layout") as refusal:
        read_labelled_folder(tmp_path)
    for layout in LAYOUTS:
        assert f"{layout.looks_for} ({layout.name})" in str(refusal.value)


def test_a_missing_folder_and_an_unknown_layout_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        read_labelled_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no layout 'coco'; known are auto, fracatlas, mura"):
        read_labelled_folder(tmp_path, "coco")


# A table of pictures.


def test_a_table_says_all_that_it_knows(tmp_path: Path) -> None:
    row = {
        "path": "a.png", "fractured": 1, "patient": "7", "study": "s1", "view": "AP",
        "region": "Hand", "hardware": 0, "boxes": "1 2 3.5 4; 5 6 7 8", "part": "test",
        "age of the patient": 61,
    }  # fmt: skip
    write_labels(tmp_path, [row])
    (example,) = read_labelled_folder(tmp_path).examples
    assert example.path == tmp_path / "a.png"
    assert example.fractured
    assert example.groups == ("patient 7", "study s1")
    assert (example.region, example.view, example.study) == ("hand", "ap", "s1")
    assert example.hardware is False
    assert example.boxes == (Box(1, 2, 3.5, 4), Box(5, 6, 7, 8))
    assert example.part == "test"


def test_a_table_of_paths_and_labels_alone_states_nothing_else(tmp_path: Path) -> None:
    write_labels(tmp_path, [{"path": "a.png", "fractured": 0}])
    (example,) = read_labelled_folder(tmp_path).examples
    assert example.groups == ()
    assert example.hardware is None
    assert (example.region, example.view, example.study, example.part) == ("", "", "", "")
    assert example.boxes == ()


def test_a_table_that_a_spreadsheet_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbfpath,fractured\r\na.png,1\r\n")
    (example,) = read_labelled_folder(tmp_path).examples
    assert example.fractured


@pytest.mark.parametrize(
    ("column", "meant"), [("patinet", "patient"), ("Patient", "patient"), ("hardwear", "hardware")]
)
def test_a_column_that_is_nearly_ours_is_refused_because_it_would_lose_a_grouping(
    tmp_path: Path, column: str, meant: str
) -> None:
    write_labels(tmp_path, [{"path": "a.png", "fractured": 0, column: "1"}])
    with pytest.raises(DataError, match=f"column '{column}'; did you mean '{meant}'"):
        read_labelled_folder(tmp_path)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("fractured", ""), ("fractured", "yes"), ("hardware", "no"),
        ("boxes", "1 2 3"), ("boxes", "1 2 3 4 5"), ("boxes", "a b c d"),
    ],
)  # fmt: skip
def test_a_cell_that_is_not_what_its_column_holds_is_named(
    tmp_path: Path, cell: str, value: str
) -> None:
    row = {"path": "a.png", "fractured": "1", "hardware": "", "boxes": "", cell: value}
    write_labels(tmp_path, [row])
    with pytest.raises(DataError, match=rf"labels\.csv has {cell} '{value}' for a\.png"):
        read_labelled_folder(tmp_path)


def test_a_picture_that_is_labelled_twice_is_refused(tmp_path: Path) -> None:
    write_labels(tmp_path, [{"path": "a.png", "fractured": label} for label in (0, 1)])
    with pytest.raises(DataError, match=r"a\.png is labelled twice"):
        read_labelled_folder(tmp_path)


@pytest.mark.parametrize("path", ["../a.png", "/elsewhere/a.png", "b/../../a.png"])
def test_a_picture_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    write_labels(tmp_path, [{"path": path, "fractured": 0}])
    with pytest.raises(DataError, match="lies outside"):
        read_labelled_folder(tmp_path)


def test_a_table_without_labels_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    write_labels(tmp_path, [{"path": "a.png", "label": 0}])
    with pytest.raises(DataError, match=r"has no column 'fractured'; it has path, label"):
        read_labelled_folder(tmp_path)


# Folders of classes.


def test_the_nearest_folder_of_a_known_name_is_the_label_and_a_part_is_remembered(
    tmp_path: Path,
) -> None:
    draw_classes(tmp_path)
    (tmp_path / "train" / ".DS_Store.png").write_bytes(b"finder")
    write_picture(tmp_path / "Fractured" / "normal" / "deep" / "e.png")
    examples = {
        example.path.name: example for example in read_labelled_folder(tmp_path, "classes").examples
    }
    labels = {name: example.fractured for name, example in examples.items()}
    assert labels == {"a.jpg": True, "b.png": False, "c.png": True, "d.png": False, "e.png": False}
    parts = {name: example.part for name, example in examples.items()}
    assert parts["a.jpg"] == "train"
    assert parts["c.png"] == "validation"
    assert parts["e.png"] == ""


def test_a_picture_in_no_class_is_named(tmp_path: Path) -> None:
    draw_classes(tmp_path)
    write_picture(tmp_path / "train" / "stray.png")
    with pytest.raises(DataError, match=r"stray\.png lies in no folder of a known class"):
        read_labelled_folder(tmp_path)


# MURA.


def test_mura_labels_studies_and_a_patient_is_one_in_all_regions(tmp_path: Path) -> None:
    examples = read_labelled_folder(draw_mura(tmp_path)).examples
    assert len(examples) == 5
    first, second, third, *_ = examples
    assert first.study == second.study == "XR_HAND/patient00001/study1_positive"
    assert first.fractured
    assert second.fractured
    wrist = next(example for example in examples if example.region == "wrist")
    assert wrist.groups == first.groups == ("patient 00001",)
    assert not wrist.fractured
    assert [example.part for example in examples] == ["train"] * 4 + ["validation"]
    assert third.groups == ("patient 00002",)


@pytest.mark.parametrize(("below", "count"), [("train", 4), ("train/XR_HAND", 3), (".", 5)])
def test_mura_is_found_at_every_level(tmp_path: Path, below: str, count: int) -> None:
    draw_mura(tmp_path / "MURA-v1.1")
    for folder in (
        {tmp_path / "MURA-v1.1" / below, tmp_path}
        if below == "."
        else {tmp_path / "MURA-v1.1" / below}
    ):
        found = read_labelled_folder(folder)
        assert (found.layout, len(found.examples)) == ("mura", count)
        assert {example.region for example in found.examples} <= {"hand", "wrist"}


def test_a_mura_study_without_a_label_is_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "XR_HAND" / "patient00001" / "study1_unknown" / "image1.png")
    with pytest.raises(DataError, match="study1_unknown ends neither in _positive"):
        read_labelled_folder(tmp_path)


# DICOM.


@pytest.mark.parametrize("by", ["sop_instance_uid", "path"])
def test_dicom_takes_from_the_header_what_the_table_does_not_say(tmp_path: Path, by: str) -> None:
    first, second, third = read_labelled_folder(draw_dicom(tmp_path, by=by)).examples
    assert [one.fractured for one in (first, second, third)] == [True, False, False]
    assert (first.region, first.view, first.laterality) == ("hand", "ap", "R")
    assert first.study == "2.25.1"
    assert first.hardware is None
    assert first.groups[0] == second.groups[0] != third.groups[0]
    assert first.groups[1] != second.groups[1]


def test_no_patient_id_is_in_an_example(tmp_path: Path) -> None:
    draw_dicom(tmp_path)
    secret = "MRN-0815"
    write_instance(dicom_dataset(1, secret), tmp_path / "deep" / "1.dcm")
    examples = read_labelled_folder(tmp_path).examples
    assert secret not in repr(examples)
    assert examples[0].groups[0] != examples[1].groups[0]


def test_the_same_id_of_another_issuer_is_another_patient(tmp_path: Path) -> None:
    draw_dicom(tmp_path)
    other = dicom_dataset(2, "P1", IssuerOfPatientID="ELSEWHERE")
    write_instance(other, tmp_path / "deep" / "2.dcm")
    first, second, _ = read_labelled_folder(tmp_path).examples
    assert first.groups[0] != second.groups[0]


def test_an_instance_without_a_patient_id_is_grouped_by_its_study_alone(tmp_path: Path) -> None:
    draw_dicom(tmp_path)
    write_instance(dicom_dataset(1, ""), tmp_path / "deep" / "1.dcm")
    assert read_labelled_folder(tmp_path).examples[0].groups == ("study 2.25.1",)


def test_a_uid_that_no_file_holds_or_two_do_is_named(tmp_path: Path) -> None:
    draw_dicom(tmp_path)
    uid = dicom_dataset(1).SOPInstanceUID
    write_instance(dicom_dataset(1), tmp_path / "copy.dcm")
    with pytest.raises(DataError, match=rf"{uid}, which is in .*copy\.dcm and .*1\.dcm"):
        read_labelled_folder(tmp_path)
    (tmp_path / "copy.dcm").unlink()
    (tmp_path / "deep" / "1.dcm").write_bytes(b"broken")
    with pytest.raises(DataError, match=rf"{uid}, which is in no readable file"):
        read_labelled_folder(tmp_path)


def test_a_dicom_picture_of_several_frames_is_refused_with_their_number(tmp_path: Path) -> None:
    dataset = dicom_dataset(1, NumberOfFrames=2)
    dataset.PixelData = 2 * dataset.PixelData
    path = write_instance(dataset, tmp_path / "two.dcm")
    with pytest.raises(DataError, match="it has 2 frames"):
        read_pixels(path)


# FracAtlas and pixels.


def test_fracatlas_tells_views_and_boxes_where_it_has_them(tmp_path: Path) -> None:
    rows = make_rows(3)
    rows[1] |= {"frontal": "1", "lateral": "1"}
    write_table(tmp_path, rows)
    (tmp_path / "images").mkdir()
    (tmp_path / "fracture_boxes.csv").write_text(
        "image_id,x,y,width,height\nIMG0000001.png,1,2,3,4\nIMG0000001.png,5,6,7,8.5\n"
    )
    first, second, _ = read_labelled_folder(tmp_path).examples
    assert (first.view, second.view) == ("", "frontal+lateral")
    assert first.boxes == ()
    assert second.boxes == (Box(1, 2, 3, 4), Box(5, 6, 7, 8.5))


def test_sixteen_bit_pictures_keep_all_their_grey_values(tmp_path: Path) -> None:
    grey = np.array([[0, 257, 65535], [1, 300, 1000]], np.uint16)
    assert cv2.imwrite(str(tmp_path / "deep.png"), grey)
    assert read_pixels(tmp_path / "deep.png") == pytest.approx(grey / 65535)


def test_a_picture_and_the_same_picture_as_dicom_have_the_same_pixels(tmp_path: Path) -> None:
    grey = draw(3)
    write_picture(tmp_path / "a.png", grey)
    wrapped = wrap_as_dx(
        grey,
        study_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        sop_instance_uid="2.25.3",
        patient_id="P1",
        patient_name="Synthetic^Phantom",
        now=NOW,
        synthetic_note="Drawn by a test",
    )
    write_instance(wrapped, tmp_path / "a.dcm")
    assert np.array_equal(read_pixels(tmp_path / "a.png"), read_pixels(tmp_path / "a.dcm"))


@needs_shared_data
def test_the_real_boxes_lie_on_fractured_radiographs_and_within_them() -> None:
    data = read_labelled_folder(SHARED_DATA / "fracatlas")
    boxed = [example for example in data.examples if example.boxes]
    assert len(boxed) == 606
    assert all(example.fractured for example in boxed)
    assert sum(len(example.boxes) for example in boxed) == 792
    rows, columns = read_pixels(boxed[0].path).shape
    box = boxed[0].boxes[0]
    assert 0 <= box.x < box.x + box.width <= columns
    assert 0 <= box.y < box.y + box.height <= rows
