"""What corrects identities and quarantine, over a ledger and a data folder of a test."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from dicom_node.spool import Spool
from worker.corrections import PatientCorrections


def corrector_over(
    engine: Engine, clock: Callable[[], datetime], data_folder: Path
) -> PatientCorrections:
    """The real one; its spool is made once quarantine is asked for."""
    return PatientCorrections(engine, clock, data_folder, lambda: Spool(data_folder / "spool"))
