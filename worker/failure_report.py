"""The report of a study that FAILED: whose it is, why nothing is said of it. Needs no model."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import structlog
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from db.failed_studies import FailedAnalysis
from db.failure_reasons import FailureReason
from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import NewResultObject, StudyHeader
from dicom_node.encapsulated_pdf import build_encapsulated_pdf
from dicom_node.received import elements_in_file
from dicom_node.result_file import write_result
from dicom_node.result_identity import RESULT_SERIES_NUMBERS, ResultIdentity
from dicom_node.study_elements import decode_elements
from dicom_node.uids import AnalysisKey, device_uid, result_instance_uid, result_series_uid
from worker.report.content import report_header, report_image
from worker.report.document import TITLE, render_report
from worker.report.parts import ReportContent
from worker.results import REPORT
from worker.settings import Settings
from worker.study_header import received_header

_log = structlog.get_logger(__name__)

PRODUCT = "Fracture Screen"
NOT_LOOKED_AT = "The study failed before this image was analysed."


def report_failure(
    settings: Settings, ledger: Ledger, study_id: int, revision: int, now: datetime
) -> bool:
    """Write the report of a failed analysis and have it delivered as every report is.

    The patient comes from the ledger and no received file is parsed: one of them may be what broke
    the analysis. False: the analysis no longer holds, has a report, belongs to a sweep that sends
    no failures, or it is not sure whose study it is.
    """
    failed = ledger.failed_analysis(study_id, revision)
    if failed is None or not _is_of_one_patient(failed, settings.data_folder):
        return False
    if failed.swept and Outcome.FAILED not in settings.sweep.deliver:
        return False
    result = _written(settings, failed, now)
    recorded = ledger.record_failure_report(study_id, revision, result)
    _log.info(
        "failure_reported" if recorded else "study_moved_on",
        study_instance_uid=failed.study_instance_uid,
        study_id=study_id,
        revision=revision,
    )
    return recorded


def _is_of_one_patient(failed: FailedAnalysis, root: Path) -> bool:
    """Whether the ledger knows one patient, and every file that is there names no other.

    Stricter than people are with spelling: who is left out here is on the worklist all the same.
    """
    if not failed.patient_and_study:
        return False
    known = received_header(failed.patient_and_study)
    if known.patient_id != failed.patient_id:
        return False  # what the worklist shows was not stated by one instance
    files = (root / instance.path for instance in failed.instances)
    stated = [elements for file in files if (elements := elements_in_file(file))]
    return all(_patient(received_header(elements)) == _patient(known) for elements in stated)


def _patient(header: StudyHeader) -> tuple[object, ...]:
    return header.patient_id, header.patient_name_folded, header.patient_birth_date


def _written(settings: Settings, failed: FailedAnalysis, now: datetime) -> NewResultObject:
    """The report, durable on disk; one that exists stays as it is, for it may have been sent."""
    key = AnalysisKey(failed.study_instance_uid, "", ("failed", failed.reason))
    sources = [(one.sop_instance_uid, one.sha256, 0) for one in failed.instances]
    uid = result_instance_uid(key, REPORT, sources)
    root = settings.data_folder.resolve()
    path = root / settings.results_folder.name / str(failed.study_id) / f"{uid}.dcm"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_result(_report(failed, root, key, uid, now), path, frozen=True)
    content = path.read_bytes()
    return NewResultObject(
        sop_instance_uid=uid,
        series_instance_uid=result_series_uid(key, REPORT, failed.revision),
        sop_class_uid=EncapsulatedPDFStorage,
        kind=REPORT,
        path=path.relative_to(root).as_posix(),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        destinations=settings.pacs_names,
    )


def _report(
    failed: FailedAnalysis, root: Path, key: AnalysisKey, uid: str, now: datetime
) -> Dataset:
    content = ReportContent(
        # Read from bytes of its own: using a name makes pydicom forget how it was encoded.
        header=report_header(decode_elements(failed.patient_and_study)),
        outcome=Outcome.FAILED,
        reason=failed.reason,
        images=tuple(
            report_image(Dataset(), str(number), 0, reason=reason)
            for number, reason in enumerate(_reasons(failed, root), start=1)
        ),
        model=None,
        revision=failed.revision,
        generated_at=now,
        retrospective=failed.swept,
    )
    identity = ResultIdentity(
        series_instance_uid=result_series_uid(key, REPORT, failed.revision),
        sop_instance_uid=uid,
        series_number=RESULT_SERIES_NUMBERS["encapsulated_pdf"],
        instance_number=1,
        series_description="AI report, not for primary diagnosis: failed",
        model_name=PRODUCT,
        model_version="no model",
        device_uid=device_uid(""),
        software_version=version("fracture-screen"),
    )
    return build_encapsulated_pdf(
        decode_elements(failed.patient_and_study),
        render_report(content),
        sources=[(one.sop_class_uid, one.sop_instance_uid) for one in failed.instances],
        title=TITLE,
        identity=identity,
        now=now,
    )


def _reasons(failed: FailedAnalysis, root: Path) -> Sequence[str]:
    return [
        NOT_LOOKED_AT if (root / one.path).is_file() else FailureReason.FILE_MISSING.value
        for one in failed.instances
    ]
