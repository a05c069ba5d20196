"""What an image is called: series and instance number, body part, view and side."""

from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.header import read_header
from dicom_node.image_label import ImageLabel, image_label, image_number, label_in_file
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance


def header(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("stated", "number", "place"),
    [
        (
            header(
                SeriesNumber=2,
                InstanceNumber=1,
                BodyPartExamined="HAND",
                ViewPosition="PA",
                ImageLaterality="L",
                Laterality="R",
            ),
            "2.1",
            "hand PA left",
        ),
        (header(SeriesNumber=0, InstanceNumber="007", Laterality="R"), "0.7", "right"),
        (header(InstanceNumber=1, BodyPartExamined="KNEE"), "", "knee"),
        (header(SeriesNumber=1, InstanceNumber=""), "", ""),
        (header(BodyPartExamined=["HAND", "WRIST"], Laterality="U"), "", "hand"),
        (header(), "", ""),
    ],
)
def test_an_image_is_called_as_its_header_says(stated: Dataset, number: str, place: str) -> None:
    assert image_label(stated) == ImageLabel(number, place)


def test_a_stored_instance_is_labelled_without_reading_the_rest_of_its_header(
    tmp_path: Path,
) -> None:
    dataset = radiograph_dataset(7)
    dataset.SeriesNumber, dataset.BodyPartExamined, dataset.ViewPosition = 2, "HAND", "PA"
    dataset.ImageLaterality = "L"
    path = write_instance(dataset, tmp_path / "hand.dcm")
    assert label_in_file(path) == ImageLabel("2.7", "hand PA left")
    assert set(read_header(path, ["ViewPosition"]).keys()) <= {0x00185101, 0x00080016, 0x00080018}


def test_an_element_far_too_long_is_not_part_of_the_label(tmp_path: Path) -> None:
    dataset = radiograph_dataset(7)
    dataset.SeriesNumber, dataset.ViewPosition = 2, "A\\" * 20_000
    del dataset.BodyPartExamined
    dataset.Laterality = dataset.ImageLaterality = ""
    path = write_instance(dataset, tmp_path / "long.dcm")
    assert label_in_file(path) == ImageLabel("2.7", "")


def test_what_is_no_dicom_has_no_label(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(UnreadableInstance):
        label_in_file(tmp_path / "text.dcm")


def test_a_number_that_is_none_is_not_shown() -> None:
    odd = Dataset()
    odd.add_new("SeriesNumber", "LO", "1 of 2")
    odd.add_new("InstanceNumber", "LO", "9" * 500)
    assert image_label(odd).number == ""


def test_images_of_one_number_are_told_apart_and_one_without_has_its_position() -> None:
    taken: list[str] = []
    labels = [
        ImageLabel("1.1", ""),
        ImageLabel("1.1", ""),
        ImageLabel("", ""),
        ImageLabel("1.1", ""),
    ]
    for position, label in enumerate(labels, start=1):
        taken.append(image_number(label, position, taken))
    assert taken == ["1.1", "1.1b", "3", "1.1c"]


def test_hundreds_of_one_number_are_told_apart() -> None:
    taken: list[str] = []
    for position in range(1, 301):
        taken.append(image_number(ImageLabel("1.1", ""), position, taken))
    assert len(set(taken)) == 300
