"""A study that breaks its decoder costs its attempts and ends FAILED; the others are screened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from celery import Celery

from db.ledger import Ledger
from db.states import StudyState
from dicom_node.bounded_reader import MIB, BoundedReader
from dicom_node.received import describe_file
from dicom_node.spool import Spool
from models.bundle import DEFAULT_BUNDLE, load_bundle
from models.classifier import Classifier
from tests.radiographs import write_phantom
from tests.security.decoders import MARK
from worker.app import SCREEN_TASK
from worker.classifiers import make_classifier
from worker.composition import open_ledger, open_spool, pixel_limits, utc_now
from worker.intake import Intake
from worker.screening import Screener
from worker.settings import Settings
from worker.tasks import register_screening


class Tasks:
    """Stands in for Celery: keeps the task to be called here, and publishes nothing."""

    screen: Callable[[int, int], None]

    def task(self, name: str, shared: bool) -> Callable[[Callable[[int, int], None]], None]:
        assert name == SCREEN_TASK

        def keep(function: Callable[[int, int], None]) -> None:
            self.screen = function

        return keep

    def send_task(self, *arguments: object, **options: object) -> None:
        """The test calls the task itself."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return make_classifier(Settings(), load_bundle(DEFAULT_BUNDLE))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_folder=tmp_path / "data",
        study={"maximum_attempts": 2},  # type: ignore[arg-type]
        listener={"minimum_free_mib": 1},  # type: ignore[arg-type]
    )


@contextmanager
def _worker(settings: Settings, classifier: Classifier, decoder: str) -> Iterator[Ledger]:
    """Study by study, as the triage worker takes them; yields once nothing is left to do."""
    ledger, app = open_ledger(settings), Tasks()
    with BoundedReader(
        timeout_s=8, memory_bytes=1024 * MIB, reader=f"tests.security.decoders:{decoder}"
    ) as reader:
        screener = Screener(classifier, pixel_limits(settings), utc_now, reader.read)
        register_screening(cast(Celery, app), settings, ledger, lambda: screener)
        ledger.mark_quiet_studies_ready(timedelta(0))
        assert len(ledger.queue_ready_studies(10)) == 2
        for _ in range(settings.study.maximum_attempts + 1):
            for study_id in (1, 2):
                app.screen(study_id, 1)
        yield ledger


def _receive(settings: Settings, spool: Spool, path: Path) -> None:
    intake = Intake(open_ledger(settings), spool, settings.data_folder)
    spooled = spool.write(path.read_bytes())
    intake.register(describe_file(spooled.path, "MODALITY"))


@pytest.mark.parametrize(
    ("decoder", "reason"),
    [
        ("crashing", "The image decoder ended unexpectedly (signal 11)."),
        ("hanging", "Reading an image took longer than 8 s."),
        ("swallowing", "Reading an image needed more than 1024 MiB of memory."),
    ],
)
def test_a_poison_study_fails_with_its_reason_and_the_next_one_is_screened(
    settings: Settings, classifier: Classifier, tmp_path: Path, decoder: str, reason: str
) -> None:
    spool = open_spool(settings)
    bad = write_phantom(tmp_path, "bad")
    content = bad.path.read_bytes()
    bad.path.write_bytes(content.replace(b"Synthetic^Phantom", MARK))
    good = write_phantom(tmp_path, "good")
    _receive(settings, spool, bad.path)
    _receive(settings, spool, good.path)

    with _worker(settings, classifier, decoder) as ledger:
        failed = ledger.study_summary(bad.study_instance_uid)
        screened = ledger.study_summary(good.study_instance_uid)

    assert failed is not None
    assert failed.state is StudyState.FAILED
    assert failed.failure_reason == reason
    assert failed.attempts == settings.study.maximum_attempts
    assert screened is not None
    assert screened.state is StudyState.SCREENED
