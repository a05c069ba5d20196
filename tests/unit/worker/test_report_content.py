"""What the report says of a data set and a model card."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from db.outcomes import Grade
from models.bundle import DEFAULT_BUNDLE, ModelBundle, load_bundle
from tests.unit.models.bundles import identity_head, make_bundle
from worker.report.content import person_name, report_header, report_image, report_model

METRICS = {
    "radiographs": 551,
    "fractured": 103,
    "auc": {"value": 0.8542, "low": 0.7445, "high": 0.9162},
    "operating_points": {
        "sensitive": {
            "sensitivity": {"value": 0.893, "low": 0.796, "high": 0.945},
            "specificity": {"value": 0.529, "low": 0.407, "high": 0.603},
        },
        "specific": {
            "sensitivity": {"value": 0.495, "low": 0.233, "high": 0.696},
            "specificity": {"value": 0.944, "low": 0.926, "high": 0.979},
        },
    },
}


def reference(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def bundle() -> ModelBundle:
    made = make_bundle(weights=identity_head(4))
    return replace(made, card={"metrics": {"test": METRICS}}, limits=("No spine.", "7 × 7 cells"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^Mary^Dr.^PhD", "Doe, Jane Mary"),
        ("Doe", "Doe"),
        ("^Jane", "Jane"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou / 山田, 太郎 / やまだ, たろう"),
        ("=山田^太郎", "山田, 太郎"),
        ("Doe^Jane=Doe^Jane", "Doe, Jane"),
        ("", ""),
        (None, ""),
        ("^^^^", ""),
    ],
)
def test_a_person_name_is_shown_as_people_write_it(value: str | None, shown: str) -> None:
    assert person_name(value) == shown


@given(st.text(max_size=60))
def test_no_person_name_breaks_the_report(text: str) -> None:
    shown = person_name(text)
    assert "=" not in shown
    assert shown == shown.strip()


def test_the_header_holds_what_the_source_states() -> None:
    header = report_header(
        reference(
            PatientName="Doe^Jane",
            PatientID="PID-1",
            PatientBirthDate="19700131",
            PatientSex="F",
            AccessionNumber="ACC-9",
            StudyDate="20250301",
            StudyDescription="Left hand",
            ReferringPhysicianName="Roe^R",
            InstitutionName="Example Hospital",
            StudyInstanceUID="1.2.3",
        )
    )
    assert (header.patient_name, header.patient_id) == ("Doe, Jane", "PID-1")
    assert (header.patient_birth_date, header.study_date) == ("1970-01-31", "2025-03-01")
    assert (header.patient_sex, header.accession_number) == ("F", "ACC-9")
    assert (header.study_description, header.study_instance_uid) == ("Left hand", "1.2.3")
    assert (header.referring_physician_name, header.institution_name) == (
        "Roe, R",
        "Example Hospital",
    )


def test_a_header_without_anything_is_empty_and_no_error() -> None:
    header = report_header(Dataset())
    assert {getattr(header, name) for name in header.__slots__} == {""}


@pytest.mark.parametrize("stated", ["1970", "19700131-19700201", "unknown"])
def test_a_date_that_is_none_is_shown_as_it_is(stated: str) -> None:
    dataset = Dataset()
    dataset.add_new("PatientBirthDate", "LO", stated)
    assert report_header(dataset).patient_birth_date == stated


def test_an_image_is_told_by_number_and_only_a_multiframe_one_by_frame() -> None:
    single = report_image(reference(NumberOfFrames=1), "2.1", 1)
    multi = report_image(reference(NumberOfFrames=3), "2.1", 3)
    assert (single.label, multi.label) == ("Image 2.1", "Image 2.1, frame 3")


def test_the_side_of_the_image_comes_before_that_of_the_series() -> None:
    assert report_image(reference(Laterality="L"), "1", 1).laterality == "L"
    assert report_image(reference(ImageLaterality="U"), "1", 1).laterality == ""
    both = reference(Laterality="L", ImageLaterality="R")
    assert report_image(both, "1", 1).laterality == "R"


def test_what_was_found_reaches_the_line_of_the_image() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    image = report_image(
        reference(BodyPartExamined="HAND", ViewPosition="PA", SeriesNumber=3, InstanceNumber=4),
        "3.4",
        1,
        probability=0.5,
        grade=Grade.POSSIBLE,
        picture=picture,
        overlay=picture,
    )
    assert (image.body_part_examined, image.view_position) == ("HAND", "PA")
    assert (image.label, image.place) == ("Image 3.4", "hand PA")
    assert (image.probability, image.grade) == (0.5, Grade.POSSIBLE)
    assert image.picture is image.overlay is picture


def test_the_model_is_shown_with_intervals_and_every_limit() -> None:
    model = report_model(bundle())
    performance, *limits = model.summary
    assert "551 test radiographs, 103 of them fractured" in performance
    assert "AUC 0.85 (0.74–0.92)" in performance
    assert "possible: sensitivity 89 % (80–94), specificity 53 % (41–60)" in performance
    assert "likely: sensitivity 50 % (23–70), specificity 94 % (93–98)" in performance
    assert limits == ["No spine.", "7 × 7 cells"]
    assert (model.sensitive_threshold, model.specific_threshold) == (0.3, 0.7)


def test_the_shipped_card_can_be_shown() -> None:
    shipped = load_bundle(DEFAULT_BUNDLE)
    model = report_model(shipped)
    assert model.digest == shipped.identity.digest
    assert len(model.summary) == 1 + len(shipped.limits)


def test_a_date_in_the_form_of_acr_nema_is_shown_as_every_other() -> None:
    dataset = Dataset()
    dataset.add_new("PatientBirthDate", "DA", "1970.01.31")
    assert report_header(dataset).patient_birth_date == "1970-01-31"


def test_several_values_of_an_identifier_are_shown_as_they_were_sent() -> None:
    dataset = Dataset()
    dataset.AccessionNumber = dataset.PatientID = ["12345", "12346"]
    header = report_header(dataset)
    assert header.accession_number == header.patient_id == "12345\\12346"
