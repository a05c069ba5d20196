"""What an image is called: series and instance number, body part, view and side."""

import pytest
from pydicom import Dataset

from dicom_node.image_label import ImageLabel, image_label, image_number


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
