"""A flag to build messages of; nothing real in it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from db.outcomes import Outcome
from worklist.flags.content import Flag, FlagImage, FlagModel, FlagPatient, NameGroup

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ALPHABETIC = NameGroup("Canary", "Patient", "Middle", "Dr", "Jr", "A")

LIKELY = FlagImage("1.2.3.1", 1, Outcome.POSITIVE, 0.912345, "", "HAND")
NEGATIVE = FlagImage("1.2.3.2", 1, Outcome.NEGATIVE, 0.0, "", "HAND")
NOT_ANALYSED = FlagImage("1.2.3.3", 0, Outcome.NOT_ANALYSED, None, "the image is blank", "")


def make_patient(**changes: Any) -> FlagPatient:
    patient = FlagPatient((ALPHABETIC,), "PHANTOM", "HOSPITAL", date(1970, 1, 2), "F")
    return replace(patient, **changes)


def make_flag(**changes: Any) -> Flag:
    flag = Flag(
        receiver="ris",
        study_instance_uid="1.2.3",
        accession_number="A1",
        study_date=date(2026, 3, 3),
        patient=make_patient(),
        outcome=Outcome.POSITIVE,
        reason="",
        probability=0.912345,
        images=(LIKELY, NEGATIVE, NOT_ANALYSED),
        model=FlagModel("mobilenet", "1.0", "ab" * 32),
        revision=1,
        corrected=False,
        retrospective=False,
        made_at=NOW,
    )
    return replace(flag, **changes)
