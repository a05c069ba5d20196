"""Builds Encapsulated PDF results: the report. The PDF itself is made elsewhere."""

from collections.abc import Sequence
from datetime import datetime

from pydicom import Dataset, uid

from dicom_node.patient_study import in_study_time
from dicom_node.result_identity import ResultIdentity
from dicom_node.result_modules import code_item, put, reference_item, start_result

_WORKSTATION = "WSD"


def build_encapsulated_pdf(
    reference: Dataset,
    pdf: bytes,
    *,
    sources: Sequence[tuple[str, str]],
    title: str,
    identity: ResultIdentity,
    now: datetime,
) -> Dataset:
    """An Encapsulated PDF (PS3.3 A.45.1) that holds `pdf`.

    `reference` is the header of one instance of the study; `sources` are (SOP Class UID, SOP
    Instance UID) of every instance the report speaks of. `title` is ASCII, at most 1024 characters.
    The same arguments give the same data set. Raises ValueError when `pdf` is no PDF.
    """
    if not pdf.startswith(b"%PDF-"):
        raise ValueError("the document doesn't begin with %PDF-: it is no PDF")
    at = in_study_time(reference, now)
    result = start_result(
        reference, uid.EncapsulatedPDFStorage, modality="DOC", identity=identity, at=at
    )
    put(
        result,
        {
            # SC Equipment, C.8.6.1
            "ConversionType": _WORKSTATION,
            # Encapsulated Document, C.24.2
            "AcquisitionDateTime": None,
            "BurnedInAnnotation": "YES",
            "SourceInstanceSequence": [reference_item(*source) for source in sources],
            "VerificationFlag": "UNVERIFIED",
            "DocumentTitle": title,
            "ConceptNameCodeSequence": [code_item("18748-4", "LN", "Diagnostic Imaging Report")],
            "MIMETypeOfEncapsulatedDocument": "application/pdf",
            "EncapsulatedDocumentLength": len(pdf),
            "EncapsulatedDocument": pdf + b"\0" * (len(pdf) % 2),
        },
    )
    return result
