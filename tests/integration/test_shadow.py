"""A shadow beside the champion: its scores are stored, and no study pays for it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from db.ledger import Ledger
from db.outcomes import Outcome
from db.records import ClaimedStudy
from db.registry import ModelRegistry, NewModel
from db.shadow_scores import ShadowScores
from db.states import StudyState
from dicom_node.radiograph import PixelLimits
from dicom_node.received import describe_file
from models.bundle import ModelBundle, load_bundle, save_bundle
from models.classifier import Classifier
from models.errors import BundleError
from tests.chosen_outcomes import LIKELY, NEGATIVE, NOW, ChosenEngine, chosen_bundle, screener_of
from tests.unit.db.ledger_factories import ManualClock
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from tests.unit.models.bundles import identity_head, make_card
from worker.app import SCREEN_TASK, make_celery
from worker.composition import open_spool
from worker.conclude import Verdict
from worker.dispatch import Dispatcher
from worker.intake import Intake
from worker.model_updates.agreement import agreement, worst, write_scores
from worker.model_updates.disagreements import write_disagreements
from worker.model_updates.shadow import Shadow
from worker.screening import Screener, Screening
from worker.settings import Destination, StudySettings, load_settings
from worker.tasks import register_screening

STUDY_UID = str(radiograph_dataset().StudyInstanceUID)
SHADOW_SAYS = 0.95


class Watched:
    """A worker's task with a shadow, on one ledger."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.settings = load_settings(
            data_folder=folder / "data",
            study=StudySettings(quiet_period_s=1),
            destinations=(Destination(name="pacs", ae_title="P", host="127.0.0.1", port=104),),
        )
        self.clock = ManualClock()
        self.ledger = Ledger(engine, self.clock)
        self.registry = ModelRegistry(engine, self.clock)
        self.scores = ShadowScores(engine, self.clock)
        self.celery = make_celery(self.settings)
        self.spool = open_spool(self.settings)
        self.engine: object = ChosenEngine([SHADOW_SAYS])
        self.loaded = 0
        self.budget_s = 30.0

    def import_shadow(self) -> int:
        path = self.settings.data_folder / "models" / "net"
        save_bundle(path, make_card(), identity_head(4))
        bundle = load_bundle(path)
        new = NewModel("test-net", "1.2.3", bundle.identity.digest, "models/net")
        record = self.registry.add(new, "anna", {})
        self.registry.start_shadow(record.digest, "anna", {})
        return record.model_id

    def receive(self, *numbers: int) -> None:
        for number in numbers:
            source = write_instance(
                radiograph_dataset(number), self.settings.data_folder / f"{number}.dcm"
            )
            spooled = self.spool.write(source.read_bytes())
            intake = Intake(self.ledger, self.spool, self.settings.data_folder)
            intake.register(describe_file(spooled.path, "MODALITY"))
            source.unlink()

    def screen(self, champion: Screener) -> list[str]:
        """Take the study through the task; the events that were logged."""
        self.clock.forward(timedelta(seconds=2))
        Dispatcher(self.ledger, self.celery, self.settings.study, self.settings.delivery).look()
        app = make_celery(self.settings)
        register_screening(app, self.settings, self.ledger, lambda: champion, self.shadow().score)
        with capture_logs() as logs:
            app.tasks[SCREEN_TASK](1, 1)
        return [entry["event"] for entry in logs]

    def shadow(self) -> Shadow:
        folder = self.settings.data_folder
        return Shadow(self.registry, self.scores, folder, self._make, budget_s=self.budget_s)

    def _make(self, bundle: ModelBundle) -> Screener:
        self.loaded += 1
        classifier = Classifier(replace(chosen_bundle(), identity=bundle.identity), self.engine)  # type: ignore[arg-type]
        return Screener(classifier, PixelLimits(), lambda: NOW)

    def outcome(self) -> tuple[StudyState, Outcome | None]:
        summary = self.ledger.study_summary(STUDY_UID)
        assert summary is not None
        return summary.state, summary.outcome


@pytest.fixture
def watched(tmp_path: Path, ledger_engine: Engine) -> Iterator[Watched]:
    made = Watched(tmp_path, ledger_engine)
    yield made
    made.celery.close()


def test_a_shadow_scores_what_the_champion_analysed_and_nothing_of_it_is_delivered(
    watched: Watched,
) -> None:
    model_id = watched.import_shadow()
    watched.receive(1, 2)

    events = watched.screen(screener_of(NEGATIVE))

    assert events == ["study_screened", "study_shadowed"]
    assert watched.outcome() == (StudyState.SCREENED, Outcome.NEGATIVE)
    pairs = watched.scores.pairs(model_id)
    assert [pair.score.probability for pair in pairs] == pytest.approx([SHADOW_SAYS] * 2)
    assert [pair.score.champion_probability for pair in pairs] == pytest.approx([NEGATIVE] * 2)
    assert {pair.score.operating_point for pair in pairs} == {"specific"}
    assert {pair.score.champion_digest for pair in pairs} == {"00" * 32}
    summary = watched.ledger.study_summary(STUDY_UID)
    assert summary is not None
    assert summary.analysis is not None
    assert summary.analysis.model_digest == "00" * 32
    assert [result.kind for result in summary.results] == ["report"]
    assert len(list((watched.settings.results_folder / "1").iterdir())) == 1


def test_without_a_shadow_nothing_is_scored(watched: Watched) -> None:
    watched.receive(1)
    assert watched.screen(screener_of(NEGATIVE)) == ["study_screened"]
    assert watched.loaded == 0


def test_a_shadow_that_breaks_costs_the_study_nothing(watched: Watched) -> None:
    class Broken:
        def run(self, batch: object) -> None:
            raise RuntimeError("of the shadow")

    watched.engine = Broken()
    model_id = watched.import_shadow()
    watched.receive(1)
    assert watched.screen(screener_of(LIKELY)) == ["study_screened", "after_screening_failed"]
    assert watched.outcome() == (StudyState.SCREENED, Outcome.POSITIVE)
    assert watched.scores.pairs(model_id) == []


def test_a_shadow_that_cannot_be_loaded_is_tried_once_per_process(watched: Watched) -> None:
    watched.import_shadow()
    (watched.settings.data_folder / "models" / "net" / "weights.npz").write_bytes(b"damaged")
    claim = ClaimedStudy(1, 1, STUDY_UID, 1, NOW, ())
    screening = Screening(Verdict(Outcome.NEGATIVE, "", 0.1), (), ())
    shadow, champion = watched.shadow(), chosen_bundle().identity
    with pytest.raises(BundleError, match="SHA-256"):
        shadow.score(claim, screening, champion)
    shadow.score(claim, screening, champion)
    assert watched.loaded == 0


def test_a_slow_shadow_stops_when_its_time_is_up(watched: Watched) -> None:
    watched.budget_s = -1.0
    model_id = watched.import_shadow()
    watched.receive(1)
    events = watched.screen(screener_of(LIKELY))
    assert events == ["study_screened", "shadow_too_slow", "study_shadowed"]
    assert watched.scores.pairs(model_id) == []


def test_a_study_that_waits_goes_before_the_shadow(watched: Watched) -> None:
    watched.import_shadow()
    other = radiograph_dataset(5)
    other.StudyInstanceUID = "1.2.3.4.5"
    path = write_instance(other, watched.settings.data_folder / "other.dcm")
    watched.receive(1)
    spooled = watched.spool.write(path.read_bytes())
    Intake(watched.ledger, watched.spool, watched.settings.data_folder).register(
        describe_file(spooled.path, "MODALITY")
    )
    assert watched.screen(screener_of(LIKELY)) == ["study_screened"]
    assert watched.loaded == 0


def test_a_study_that_is_scored_again_keeps_its_latest_scores_alone(watched: Watched) -> None:
    model_id = watched.import_shadow()
    watched.receive(1)
    watched.screen(screener_of(NEGATIVE))
    (first,) = watched.scores.pairs(model_id)
    watched.scores.record(model_id, 1, [replace(first.score, probability=0.25)])
    (second,) = watched.scores.pairs(model_id)
    assert second.score.probability == 0.25


def test_the_report_counts_disagreements_and_draws_them(watched: Watched, tmp_path: Path) -> None:
    model_id = watched.import_shadow()
    watched.receive(1, 2, 3)
    watched.screen(screener_of(NEGATIVE, LIKELY))
    pairs = watched.scores.pairs(model_id)

    found = agreement(pairs, watched.scores.coverage(model_id))

    assert found is not None
    assert (found.radiographs, found.studies, found.concluded_studies) == (3, 1, 1)
    assert (found.champion_alone, found.shadow_alone) == (0, 1)
    assert found.table == ((0, 0, 1), (0, 0, 0), (0, 0, 2))
    assert found.too_few
    (disagreement,) = worst(pairs, 1)
    assert disagreement.score.champion_probability == pytest.approx(NEGATIVE)

    write_scores(pairs, tmp_path / "scores.csv")
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 4
    missing = write_disagreements(
        worst(pairs, 2),
        tmp_path / "pictures",
        watched.settings.data_folder,
        lambda digest: screener_of(LIKELY) if digest != "00" * 32 else screener_of(NEGATIVE),
        "ff" * 32,
    )
    assert missing == 0
    picture = cv2.imread(str(tmp_path / "pictures" / "01.png"))
    assert picture is not None
    assert picture.shape[1] > 512
    assert np.ptp(picture) > 0


def test_a_radiograph_that_left_the_spool_is_told_instead_of_drawn(
    watched: Watched, tmp_path: Path
) -> None:
    model_id = watched.import_shadow()
    watched.receive(1)
    watched.screen(screener_of(NEGATIVE))
    for path in watched.spool.files():
        path.unlink()
    missing = write_disagreements(
        watched.scores.pairs(model_id),
        tmp_path / "pictures",
        watched.settings.data_folder,
        lambda digest: screener_of(LIKELY),
        "ff" * 32,
    )
    (told,) = json.loads((tmp_path / "pictures" / "index.json").read_text())
    assert (missing, told["picture"]) == (1, "")
    assert "not in the spool" in told["reason"]
