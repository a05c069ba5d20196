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
from db.records import NewResultObject
from dicom_node.encapsulated_pdf import build_encapsulated_pdf
from dicom_node.result_file import write_result
from dicom_node.result_identity import RESULT_SERIES_NUMBERS, ResultIdentity
from dicom_node.study_elements import decode_elements
from dicom_node.uids import AnalysisKey, device_uid, result_instance_uid, result_series_uid
from worker.report.content import report_header, report_image
from worker.report.document import TITLE, render_report
from worker.report.parts import ReportContent
from worker.results import REPORT
from worker.settings import Settings

_log = structlog.get_logger(__name__)

PRODUCT = "Fracture Screen"
NOT_LOOKED_AT = "The study failed before this image was analysed."


def report_failure(
    settings: Settings, ledger: Ledger, study_id: int, revision: int, now: datetime
) -> bool:
    """Write the report of a failed analysis and have it delivered as every report is.

    The patient comes from the ledger, no received file is opened: one of them may be what broke
    the analysis. False: the analysis no longer holds, has a report, belongs to a sweep that sends
    no failures, or nobody knows whose study it is.
    """
    failed = ledger.failed_analysis(study_id, revision)
    if failed is None or not failed.patient_and_study:
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
        series_instance_uid=result_series_uid(key, REPORT),
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
            report_image(Dataset(), number, 0, reason=reason)
            for number, reason in enumerate(_reasons(failed, root), start=1)
        ),
        model=None,
        revision=failed.revision,
        generated_at=now,
        retrospective=failed.swept,
    )
    identity = ResultIdentity(
        series_instance_uid=result_series_uid(key, REPORT),
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
