"""A small hospital: instances received, screened by the real pipeline in this process, and served.

The bundled model speaks; results and ledger are as the services leave them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from pydicom import Dataset, dcmread
from sqlalchemy import select

from db.ledger import Ledger
from db.session import transaction
from db.states import Role
from db.study_headers import fold
from db.tables import Study, StudyHeader
from dicom_node.received import describe_file
from tests.servers.web import serve
from worker.claimed_study import record_screening, screen_claim, sources_of
from worker.composition import make_screener, open_database, open_spool, utc_now
from worker.intake import Intake
from worker.screening import Screener
from worker.settings import Settings, load_settings
from worker.worklist_parts import make_parts
from worklist.app import make_app
from worklist.people.access import SignedIn

LEASE = timedelta(minutes=10)
READER = SignedIn(1, "dr.quinn", Role.ADMIN, "t" * 32)


class ScreenedSite:
    """Its data folder lies in `folder`; `toml` is added to its settings."""

    def __init__(self, folder: Path, toml: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "settings.toml"
        config.write_text(f'data_folder = "{folder / "data"}"\n{toml}')
        self.settings: Settings = load_settings(config)
        self.engine = open_database(self.settings)
        self.ledger = Ledger(self.engine, utc_now)
        self._spool = open_spool(self.settings)

    @cached_property
    def screener(self) -> Screener:
        """Loading it takes seconds."""
        return make_screener(self.settings)

    def receive(self, paths: Sequence[Path]) -> None:
        """As the listener does with what arrived."""
        intake = Intake(self.ledger, self._spool, self.settings.data_folder)
        for path in paths:
            spooled = self._spool.write(path.read_bytes())
            intake.register(describe_file(spooled.path, "XRAYROOM1"))

    def screen(self, destinations: Sequence[str] = ()) -> None:
        """Everything that was received, to its conclusion."""
        self.ledger.mark_quiet_studies_ready(timedelta(0))
        for queued in self.ledger.queue_ready_studies(limit=1000):
            claim = self.ledger.claim_study(queued.study_id, queued.revision, "test", LEASE)
            assert claim is not None
            sources, began = sources_of(self.settings, claim), utc_now()
            screening = screen_claim(self.settings, self.screener, claim, sources)
            model = self.screener.model
            assert record_screening(self.ledger, claim, model, screening, began, destinations)
            self._record_header(claim.study_id, dcmread(sources[0].path, stop_before_pixels=True))

    @contextmanager
    def served(self) -> Iterator[str]:
        """The worklist's address, as long as it is served."""
        app = make_app(make_parts(self.settings, self.engine))
        app.state.stand_in = READER  # stand-in: part A
        with serve(app) as address:
            yield address

    def _record_header(self, study_id: int, header: Dataset) -> None:  # stand-in: part C
        name = str(header.PatientName).replace("^", ", ")
        with transaction(self.engine) as session:
            if session.scalar(select(StudyHeader).where(StudyHeader.study_id == study_id)):
                return
            assert session.get(Study, study_id) is not None
            session.add(
                StudyHeader(
                    study_id=study_id,
                    patient_name=name,
                    patient_name_folded=fold(name),
                    patient_id=str(header.PatientID),
                    patient_sex=str(header.get("PatientSex") or ""),
                    accession_number=str(header.get("AccessionNumber") or ""),
                    study_description=str(header.get("StudyDescription") or ""),
                    body_parts=str(header.get("BodyPartExamined") or ""),
                )
            )
