"""Instances of two patients under one Study Instance UID, on a real ledger and real files."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.corrections import REFUSED, REPLACED, RESOLVED, Corrections
from db.errors import CorrectionRefused
from db.outcomes import Outcome
from db.states import DeliveryState, StudyState
from db.worklist_records import StudyDetail
from dicom_node.header import read_header
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from tests.integration.patient_site import STUDY_UID, Site, corrected, radiograph, screened_site
from worker.patient_identity import DIFFERENT_PATIENTS
from worklist.corrections import Standing


@pytest.fixture
def site(tmp_path: Path, ledger_engine: Engine) -> Iterator[Site]:
    with screened_site(tmp_path, ledger_engine) as made:
        yield made


def test_a_study_of_two_patients_is_held_and_nothing_of_it_is_made(site: Site) -> None:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "Other^Person", "4711"))

    study = site.screen()

    assert study.current is not None
    assert study.state is StudyState.SCREENED
    assert study.current.verdict.outcome is Outcome.NOT_ANALYSED
    assert study.current.verdict.reason == DIFFERENT_PATIENTS
    assert study.current.results == ()
    assert study.current.unflagged_reason == DIFFERENT_PATIENTS
    assert study.current.identity_conflict
    assert site.conflicts() == 1


def test_the_worklist_names_both_patients_of_a_held_study(site: Site) -> None:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "Other^Person", "4711"))

    header = site.screen().header

    assert header is not None
    assert set(header.patient_name.split(" | ")) == {"Phantom, Test", "Other, Person"}
    assert set(header.patient_id.split(" | ")) == {"PHANTOM", "4711"}
    assert header.patient_birth_date is None


def test_another_spelling_of_the_name_holds_nothing(site: Site) -> None:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "PHANTOM^TEST^^^"))

    study = site.screen()

    assert study.current is not None
    assert study.current.verdict.outcome is Outcome.POSITIVE
    assert site.conflicts() == 0


def test_another_patient_after_the_conclusion_holds_the_study_and_what_was_not_sent(
    site: Site,
) -> None:
    site.receive(radiograph(1))
    before = site.screen()
    assert before.current is not None
    assert before.current.results
    site.receive(radiograph(2, "Other^Person", "4711"))

    study = site.screen()

    assert study.current is not None
    assert study.current.identity_conflict
    assert study.current.results == ()
    earlier = study.analyses[1]
    assert earlier.results
    states = {one.state for result in earlier.results for one in result.deliveries}
    assert states == {DeliveryState.WITHDRAWN}
    root = site.settings.data_folder
    files = [root / result.path for result in earlier.results if result.kind == "report"]
    assert [str(read_header(file).PatientID) for file in files] == ["PHANTOM"]


def conflicting(site: Site) -> StudyDetail:
    site.receive(radiograph(1))
    site.receive(radiograph(2, "Other^Person", "4711"))
    return site.screen()


def reports(site: Site, study: StudyDetail) -> list[str]:
    """Patient IDs of all DICOM results in force."""
    assert study.current is not None
    files = [one.path for one in study.current.results if one.kind != "hl7"]
    return [str(read_header(site.settings.data_folder / path).PatientID) for path in files]


def resolve(site: Site, keep: str, *, same_patient: bool = False) -> int:
    return site.corrections.resolve(
        STUDY_UID, keep, same_patient=same_patient, actor="admin", details={}
    )


def test_who_is_in_a_study_is_listed_with_its_instances(site: Site) -> None:
    conflicting(site)
    found = site.corrections.identities(STUDY_UID)
    named = {each.patient.patient_id: each for each in found.patients}
    assert set(named) == {"PHANTOM", "4711"}
    assert named["4711"].senders == ("MODALITY",)
    assert len(named["4711"].instances) == 1


@pytest.mark.parametrize("keep", ["PHANTOM", str(radiograph(1).SOPInstanceUID)])
def test_a_study_is_resolved_by_discarding_the_other_patient(site: Site, keep: str) -> None:
    conflicting(site)

    assert resolve(site, keep) == 1
    study = site.screen()

    assert study.current is not None
    assert study.current.verdict.outcome is Outcome.POSITIVE
    assert study.revision == 2
    assert [one.sop_instance_uid for one in study.current.findings] == [
        str(radiograph(1).SOPInstanceUID)
    ]
    assert reports(site, study) == ["PHANTOM", "PHANTOM"]
    assert study.header is not None
    assert study.header.patient_name == "Phantom, Test"
    assert [one.discarded_at is not None for one in study.instances] == [False, True]
    assert site.conflicts() == 0
    (event,) = site.trail(RESOLVED)
    assert event.actor == "admin"
    assert event.subject == STUDY_UID
    assert event.details["discarded"] == [str(radiograph(2).SOPInstanceUID)]
    assert "4711" not in str(event.details)


def test_instances_that_are_accepted_are_named_as_the_patient_that_is_kept(site: Site) -> None:
    conflicting(site)

    assert resolve(site, "4711", same_patient=True) == 1
    study = site.screen()

    assert study.current is not None
    assert len([one for one in study.current.findings if one.analysed]) == 2
    assert reports(site, study) == ["4711"] * 3
    assert study.header is not None
    assert study.header.patient_id == "4711"
    assert len(site.corrections.identities(STUDY_UID).patients) == 1


def test_results_made_before_under_another_name_are_not_used_again(site: Site) -> None:
    site.receive(radiograph(1))
    site.screen()
    site.receive(radiograph(2, "Other^Person", "4711"))
    site.screen()

    resolve(site, "4711", same_patient=True)

    assert reports(site, site.screen()) == ["4711"] * 3


def test_a_third_patient_holds_a_resolved_study_again(site: Site) -> None:
    conflicting(site)
    resolve(site, "4711", same_patient=True)
    site.screen()
    site.receive(radiograph(3, "Third^Person", "815"))

    study = site.screen()

    assert study.current is not None
    assert study.current.identity_conflict


def test_what_cannot_be_resolved_says_why(site: Site) -> None:
    conflicting(site)
    with pytest.raises(CorrectionRefused, match="no patient of the study has this Patient ID"):
        resolve(site, "815")
    resolve(site, "4711")
    with pytest.raises(CorrectionRefused, match="nothing to resolve"):
        resolve(site, "4711")
    with pytest.raises(CorrectionRefused, match="not known"):
        site.corrections.resolve("1.2.3", "1", same_patient=False, actor="a", details={})


def test_a_study_that_is_being_screened_is_taken_from_its_worker(site: Site) -> None:
    conflicting(site)
    site.receive(radiograph(3))
    site.dispatch()
    claim = site.ledger.claim_study(1, 2, "worker", timedelta(minutes=1))
    assert claim is not None

    resolve(site, "PHANTOM")

    assert site.study().state is StudyState.RECEIVING
    study = site.screen()
    assert study.current is not None
    assert study.current.verdict.outcome is Outcome.POSITIVE


def test_corrected_demographics_are_accepted_and_results_replaced(site: Site) -> None:
    site.receive(radiograph(1))
    before = site.screen()
    assert site.receive(corrected()) is Receipt.CONFLICT
    (file,) = site.corrections.quarantined()
    assert file.standing is Standing.DIFFERS
    assert (file.patient and file.patient.patient_id) == "4711"
    assert (file.stored_patient and file.stored_patient.patient_id) == "PHANTOM"
    names = [one.attribute for one in site.corrections.differences(file.name)]
    assert names == ["Patient's Name", "Patient ID"]
    (old,) = site.spool.files()

    site.corrections.accept(file.name, actor="admin", details={})
    study = site.screen()

    assert study.revision == 2
    assert reports(site, study) == ["4711", "4711"]
    assert study.header is not None
    assert study.header.patient_name == "Right, Name"
    assert study.current is not None
    assert before.current is not None
    earlier = {one.sop_instance_uid for one in before.current.results}
    assert earlier.isdisjoint(one.sop_instance_uid for one in study.current.results)
    assert site.corrections.quarantined() == []
    assert not old.exists()
    (stored,) = site.spool.files()
    assert str(read_header(stored).PatientID) == "4711"
    (event,) = site.trail(REPLACED)
    assert event.subject == STUDY_UID
    assert "Right" not in str(event.details)


def test_a_file_that_is_discarded_changes_nothing_that_is_stored(site: Site) -> None:
    site.receive(radiograph(1))
    site.screen()
    site.receive(corrected())
    (file,) = site.corrections.quarantined()

    site.corrections.discard(file.name, actor="admin", details={})

    assert site.corrections.quarantined() == []
    assert site.study().revision == 1
    assert len(site.trail(REFUSED)) == 1


@pytest.mark.parametrize("killed_at", ["readmit", "replace", "discard"])
def test_a_kill_between_the_steps_of_an_acceptance_loses_nothing(
    site: Site, killed_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.receive(radiograph(1))
    site.screen()
    site.receive(corrected())
    (file,) = site.corrections.quarantined()

    class Killed(BaseException):
        """The process ends here."""

    def kill(*_arguments: object, **_named: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        target = Corrections if killed_at == "replace" else Spool
        patched.setattr(target, killed_at, kill)
        with pytest.raises(Killed):
            site.corrections.accept(file.name, actor="admin", details={})
    for path in site.spool.files():
        os.utime(path, (0, 0))
    site.intake().reconcile()

    files = {str(read_header(path).PatientID) for path in site.spool.files()}
    kept = {str(read_header(path).PatientID) for path in site.spool.quarantined()}
    assert files | kept == {"PHANTOM", "4711"}
    stored = site.ledger.stored_path(str(corrected().SOPInstanceUID))
    assert stored is not None
    assert (site.settings.data_folder / stored).is_file()
    if killed_at == "discard":  # the ledger knew the new one already
        assert files == {"4711"}
    else:
        site.corrections.accept(file.name, actor="admin", details={})
        assert site.corrections.quarantined() == []
        assert reports(site, site.screen()) == ["4711", "4711"]


def test_a_file_without_a_stored_instance_or_study_is_not_accepted(site: Site) -> None:
    other = radiograph(1)
    other.StudyInstanceUID = "1.2.3.4"
    site.receive(radiograph(1))
    site.receive(other)
    (file,) = site.corrections.quarantined()
    assert file.standing is Standing.OTHER_STUDY
    with pytest.raises(CorrectionRefused, match="another study"):
        site.corrections.accept(file.name, actor="admin", details={})
    with pytest.raises(CorrectionRefused, match="no file"):
        site.corrections.accept("../../ledger.sqlite", actor="admin", details={})
