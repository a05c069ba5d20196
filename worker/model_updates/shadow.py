"""A candidate scores live studies beside the champion; what it says is stored and never delivered.

It runs when the champion's results are committed and no other study waits, for a limited time, so
that a shadow that is slow or breaks costs no study its outcome.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from db.records import ClaimedStudy, NewFinding
from db.registry import ModelRecord, ModelRegistry
from db.shadow_scores import NewShadowScore, ShadowScores
from models.bundle import ModelBundle, load_bundle
from models.prediction import ModelIdentity
from worker.collector import freeze_loaded_objects
from worker.model_updates.library import require_digest
from worker.results import Source
from worker.screening import Screener, Screening

_log = structlog.get_logger(__name__)


class Shadow:
    """Scores a study with the shadow of this moment, if there is one. For one thread."""

    def __init__(
        self,
        registry: ModelRegistry,
        scores: ShadowScores,
        data_folder: Path,
        make_screener: Callable[[ModelBundle], Screener],
        *,
        budget_s: float,
    ) -> None:
        """Load nothing yet. `budget_s`: seconds for one study, looked at between instances."""
        self._registry = registry
        self._scores = scores
        self._data_folder = data_folder
        self._make_screener = make_screener
        self._budget_s = budget_s
        self._digest = ""
        self._screener: Screener | None = None

    def score(self, claim: ClaimedStudy, screening: Screening, champion: ModelIdentity) -> None:
        """Score what the champion analysed in a study whose conclusion is committed.

        Raises whatever goes wrong. A shadow that could not be loaded is not tried again by this
        process until another one takes its place.
        """
        shadow = self._registry.speaking().shadow
        if shadow is None:
            self._digest, self._screener = "", None
            return
        if self._scores.others_wait():
            return
        screener = self._screener_of(shadow)
        if screener is None:
            return
        began = time.monotonic()
        found = self._look(screener, claim, {f.sop_instance_uid for f in screening.findings})
        scores = paired(found, screening.findings, champion.digest)
        if scores:
            self._scores.record(shadow.model_id, claim.study_id, scores)
        _log.info(
            "study_shadowed",
            study_instance_uid=claim.study_instance_uid,
            model=shadow.label,
            radiographs=len(scores),
            seconds=round(time.monotonic() - began, 3),
        )

    def _screener_of(self, shadow: ModelRecord) -> Screener | None:
        if shadow.digest != self._digest:
            replaced = self._screener is not None
            # Entered first: one that cannot be loaded would else cost every study the attempt.
            self._digest, self._screener = shadow.digest, None
            bundle = load_bundle(self._data_folder / shadow.path)
            require_digest(bundle, shadow)
            self._screener = self._make_screener(bundle)
            freeze_loaded_objects(something_was_replaced=replaced)
        return self._screener

    def _look(self, screener: Screener, claim: ClaimedStudy, wanted: set[str]) -> list[NewFinding]:
        deadline = time.monotonic() + self._budget_s
        found: list[NewFinding] = []
        for one in claim.instances:
            if time.monotonic() > deadline:
                _log.warning("shadow_too_slow", study_instance_uid=claim.study_instance_uid)
                break
            if one.sop_instance_uid in wanted and one.purged is None:
                path = self._data_folder / one.path
                source = Source(one.sop_instance_uid, one.sop_class_uid, one.sha256, path)
                found += screener.look_at(source).findings
        return found


def paired(
    found: Sequence[NewFinding], champions: Sequence[NewFinding], champion_digest: str
) -> list[NewShadowScore]:
    """A score for every frame that both models analysed."""
    of_champion = {(f.sop_instance_uid, f.frame_number): f for f in champions if f.analysed}
    scores = []
    for finding in found:
        other = of_champion.get((finding.sop_instance_uid, finding.frame_number))
        if other is None or finding.probability is None or other.probability is None:
            continue
        scores.append(
            NewShadowScore(
                sop_instance_uid=finding.sop_instance_uid,
                frame_number=finding.frame_number,
                body_part_examined=finding.body_part_examined or "",
                probability=finding.probability,
                operating_point=finding.operating_point,
                champion_digest=champion_digest,
                champion_probability=other.probability,
                champion_operating_point=other.operating_point,
            )
        )
    return scores
