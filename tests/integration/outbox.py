"""A ledger with one study's results to deliver, and the parts that deliver and confirm them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from pydicom import Dataset
from sqlalchemy import Engine

from db.records import DeliveryFilter, DeliveryRecord, NewResultObject
from db.states import DeliveryState
from dicom_node.instance import RemoteAE
from tests.unit.db.ledger_factories import Bench, make_conclusion, study_uid
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.confirmation import Confirmer
from worker.delivery import Deliverer
from worker.settings import DeliverySettings, Destination, Settings

NAME = "pacs"


@dataclass
class Outbox:
    """Two result objects of one study for each destination; the clock stands still."""

    engine: Engine
    folder: Path
    remote: RemoteAE
    destination: dict[str, Any] = field(default_factory=dict)
    delivery: dict[str, Any] = field(default_factory=dict)
    study: int = 1

    def __post_init__(self) -> None:
        self.bench = Bench(self.engine)
        self.bench.clock.now = datetime(2026, 3, 4, tzinfo=UTC)
        self.ledger = self.bench.ledger
        self.uids = [self._write(number) for number in (1, 2)]
        self.study_id = self.add_study(self.study)
        numbers = count(1)
        parts = (self.settings, self.ledger, self.bench.clock, lambda: 0.5)
        self.deliverer = Deliverer(*parts, sleep=lambda seconds: None)
        self.confirmer = Confirmer(*parts, lambda: f"2.25.900{next(numbers)}")

    @property
    def settings(self) -> Settings:
        options = {"timeout_s": 1, "lease_s": 60, "first_backoff_s": 30, **self.delivery}
        destination = {
            "name": NAME,
            "ae_title": self.remote.ae_title,
            "host": self.remote.host,
            "port": self.remote.port,
            **self.destination,
        }
        return Settings(
            data_folder=self.folder,
            delivery=DeliverySettings(**options),
            destinations=(Destination(**destination),),
        )

    def add_study(self, study: int) -> int:
        results = [self._result(uid) for uid in self.uids] if study == self.study else []
        claim = self.bench.claim(study)
        conclusion = make_conclusion(results=tuple(results), destinations=(NAME,))
        assert self.ledger.conclude(claim, conclusion, self.bench.clock())
        return claim.study_id

    def deliver(self) -> list[DeliveryRecord]:
        """One task, as a worker runs it."""
        self.deliverer.deliver(self.study_id, NAME, "worker:1")
        return self.rows()

    def confirm(self) -> list[DeliveryRecord]:
        self.confirmer.confirm(self.study_id, NAME)
        return self.rows()

    def rows(self) -> list[DeliveryRecord]:
        """In the order in which they are sent."""
        return self.ledger.deliveries(DeliveryFilter())[::-1]

    def states(self) -> list[DeliveryState]:
        return [row.state for row in self.rows()]

    def forward(self, seconds: float) -> None:
        self.bench.clock.forward(timedelta(seconds=seconds))

    def path(self, number: int) -> Path:
        return self.folder / f"result-{self.study}-{number}.dcm"

    def _dataset(self, number: int) -> Dataset:
        dataset = radiograph_dataset(self.study * 100 + number)
        dataset.StudyInstanceUID = study_uid(self.study)
        return dataset

    def _write(self, number: int) -> str:
        dataset = self._dataset(number)
        write_instance(dataset, self.path(number))
        return str(dataset.SOPInstanceUID)

    def _result(self, uid: str) -> NewResultObject:
        number = self.uids.index(uid) + 1
        dataset = self._dataset(number)
        return NewResultObject(
            sop_instance_uid=uid,
            series_instance_uid=str(dataset.SeriesInstanceUID),
            sop_class_uid=str(dataset.SOPClassUID),
            kind="overlay",
            path=self.path(number).name,
            sha256="00" * 32,
            size=self.path(number).stat().st_size,
        )
