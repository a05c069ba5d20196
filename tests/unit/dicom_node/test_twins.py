"""Images FOR PROCESSING and FOR PRESENTATION of one exposure; never two exposures as one."""

import pytest
from pydicom import Dataset

from dicom_node.twins import twins

EXPOSURE = {"AcquisitionDate": "20260304", "AcquisitionTime": "050607"}


def header(**stated: str) -> Dataset:
    made = Dataset()
    for keyword, value in stated.items():
        setattr(made, keyword, value)
    return made


def made_from(*sources: str, **stated: str) -> Dataset:
    made = header(**stated)
    made.SourceImageSequence = [header(ReferencedSOPInstanceUID=uid) for uid in sources]
    return made


@pytest.mark.parametrize(
    ("unprocessed", "presented"),
    [
        (header(), made_from("1.1")),
        (header(IrradiationEventUID="1.9"), header(IrradiationEventUID="1.9")),
        (header(**EXPOSURE), header(**EXPOSURE)),
        (header(**EXPOSURE), made_from("1.1", **EXPOSURE)),
        (header(ViewPosition="PA", **EXPOSURE), header(**EXPOSURE)),
        (header(ViewPosition="PA", **EXPOSURE), header(ViewPosition="pa ", **EXPOSURE)),
    ],
)
def test_images_of_one_exposure_are_twins(unprocessed: Dataset, presented: Dataset) -> None:
    other = header(AcquisitionDate="20260304", AcquisitionTime="050709")
    assert twins({"1.1": unprocessed}, {"1.2": presented, "1.3": other}) == {"1.1": "1.2"}


@pytest.mark.parametrize(
    ("unprocessed", "presented"),
    [
        (header(), header()),
        (header(), made_from("1.5")),
        (header(), made_from("1.1", "1.5")),
        (header(IrradiationEventUID="1.9"), header(IrradiationEventUID="1.8")),
        (header(AcquisitionDate="20260304"), header(AcquisitionDate="20260304")),
        (
            header(AcquisitionDate="20260304", AcquisitionTime="0506"),
            header(AcquisitionDate="20260304", AcquisitionTime="0506"),
        ),
        (header(ViewPosition="PA", **EXPOSURE), header(ViewPosition="LL", **EXPOSURE)),
        (header(ImageLaterality="L", **EXPOSURE), header(ImageLaterality="R", **EXPOSURE)),
    ],
)
def test_what_may_be_two_exposures_is_no_twin(unprocessed: Dataset, presented: Dataset) -> None:
    assert twins({"1.1": unprocessed}, {"1.2": presented}) == {}


def test_an_exposure_of_both_hands_that_is_presented_in_two_images_has_no_twin() -> None:
    presented = {"1.2": made_from("1.1"), "1.3": made_from("1.1")}
    assert twins({"1.1": header()}, presented) == {}


def test_two_images_for_processing_of_one_second_have_no_twin() -> None:
    unprocessed = {"1.1": header(**EXPOSURE), "1.2": header(**EXPOSURE)}
    assert twins(unprocessed, {"1.3": header(**EXPOSURE)}) == {}


def test_every_pair_of_a_study_is_told() -> None:
    seconds = ["050607", "050707", "050807"]
    of_both = [header(AcquisitionDate="20260304", AcquisitionTime=time) for time in seconds]
    found = twins(
        {f"1.1.{n}": one for n, one in enumerate(of_both)},
        {f"1.2.{n}": one for n, one in enumerate(of_both)},
    )
    assert found == {f"1.1.{n}": f"1.2.{n}" for n in range(3)}
