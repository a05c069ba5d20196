"""A small hospital: instances received, screened by the real pipeline in this process, and served.

The bundled model speaks; results and ledger are as the services leave them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from db.ledger import Ledger
from db.states import Role
from dicom_node.received import describe_file
from tests.servers.web import serve
from tests.worklist_people import add_person
from worker.claimed_study import record_screening, screen_claim, sources_of
from worker.composition import make_screener, open_database, open_spool, utc_now
from worker.intake import Intake
from worker.screening import Screener
from worker.settings import Settings, load_settings
from worker.worklist_parts import make_parts
from worklist.app import make_app

LEASE = timedelta(minutes=10)


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

    def screen(self) -> None:
        """Everything that was received, to its conclusion."""
        self.ledger.mark_quiet_studies_ready(timedelta(0))
        for queued in self.ledger.queue_ready_studies(limit=1000):
            claim = self.ledger.claim_study(queued.study_id, queued.revision, "test", LEASE)
            assert claim is not None
            sources, began = sources_of(self.settings, claim), utc_now()
            screening = screen_claim(self.settings, self.screener, claim, sources)
            model = self.screener.model
            assert record_screening(
                self.settings, self.ledger, claim, sources, model, screening, began
            )

    @contextmanager
    def served(self) -> Iterator[str]:
        """The worklist's address, as long as it is served."""
        add_person(self.engine, utc_now, role=Role.ADMIN)
        with serve(make_app(make_parts(self.settings, self.engine))) as address:
            yield address
