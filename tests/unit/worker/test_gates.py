"""The gates of a promotion, each on figures made for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import ModelBundle
from tests.unit.models.bundles import identity_head, make_bundle
from training.data.example import Example
from worker.model_updates.evaluation import EvaluationSet, Scores
from worker.model_updates.gates import Contender, Gate, gates, map_likeness
from worker.settings import PromotionSettings

COUNT = 400
LABELS = np.arange(COUNT) % 2 == 1
DIGEST = "ab" * 32


def evaluation_set(**changes: Any) -> EvaluationSet:
    examples = tuple(Example(Path(f"{n}.png"), bool(LABELS[n]), ()) for n in range(COUNT))
    groups = (np.arange(COUNT) // 4).astype(np.int32)
    return replace(EvaluationSet(examples, groups, DIGEST, "own split"), **changes)


def scores(**changes: Any) -> Scores:
    """A calibrated model that flags nine tenths of the fractured and a tenth of the others."""
    random = np.random.default_rng(1)
    probabilities = np.where(random.random(COUNT) < 0.1, 1 - LABELS, LABELS) * 0.8 + 0.1
    maps = random.random((COUNT, 7, 7))
    return replace(
        Scores(
            probabilities=probabilities,
            possible=(probabilities > 0.5).astype(float),
            likely=(probabilities > 0.8).astype(float),
            seconds=np.full(COUNT, 0.03),
            maps=maps,
            outside_scope=np.zeros(COUNT),
            spread=np.full(COUNT, 0.1),
        ),
        **changes,
    )


def bundle(body_parts: frozenset[str] = frozenset({"HAND", "FOOT"})) -> ModelBundle:
    card = {"training": {"split": {"digest": "own split"}}}
    return replace(make_bundle(weights=identity_head(4)), body_parts=body_parts, card=card)


def decide(
    candidate: Scores,
    *,
    of: EvaluationSet | None = None,
    limits: PromotionSettings | None = None,
    candidate_bundle: ModelBundle | None = None,
) -> dict[str, Gate]:
    decided = gates(
        limits or PromotionSettings(),
        of or evaluation_set(),
        Contender(bundle(), scores()),
        Contender(candidate_bundle or bundle(), candidate),
    )
    return {gate.name: gate for gate in decided}


def failed(decided: dict[str, Gate]) -> set[str]:
    return {name for name, gate in decided.items() if not gate.passed}


def test_a_model_as_good_as_the_champion_passes_every_gate() -> None:
    decided = decide(scores())
    assert failed(decided) == set()
    assert len(decided) == 12


def test_a_model_that_misses_fractures_fails_by_its_sensitivity_alone() -> None:
    missed = scores().possible * ~(LABELS & (np.arange(COUNT) % 20 < 6))
    decided = decide(scores(possible=missed))
    assert failed(decided) == {"sensitivity"}
    assert decided["sensitivity"].figures["loss"] > 0.2


def test_a_small_loss_fails_too_where_it_may_be_a_large_one() -> None:
    """What is not shown has not passed: a loss of 4 % whose interval reaches beyond 5 %."""
    lost = LABELS & (np.arange(COUNT) % 25 == 1)
    decided = decide(scores(possible=scores().possible * ~lost))
    gate = decided["sensitivity"]
    assert gate.figures["loss"] < gate.figures["limit"] < gate.figures["loss_bound"]
    assert not gate.passed


def test_a_model_that_flags_everything_fails_by_its_specificity() -> None:
    assert failed(decide(scores(possible=np.ones(COUNT)))) == {"specificity"}


def test_a_model_that_rejects_many_radiographs_fails_though_it_flags_none_of_them() -> None:
    rejected = ~LABELS.astype(bool) & (np.arange(COUNT) % 10 == 0)
    decided = decide(scores(outside_scope=rejected.astype(float)))
    assert failed(decided) == {"keeps radiographs"}
    assert decided["keeps radiographs"].figures["rejected"] == rejected.mean()


def test_a_model_that_ranks_worse_fails_by_its_auc() -> None:
    worse = scores(probabilities=np.where(LABELS, 0.5, 0.49 + 0.02 * (np.arange(COUNT) % 4 > 1)))
    assert "AUC" in failed(decide(worse))


def test_probabilities_that_are_too_high_fail_the_calibration() -> None:
    decided = decide(scores(probabilities=scores().probabilities ** 0.1))
    assert failed(decided) == {"calibration"}


def test_a_model_that_takes_too_long_fails_by_its_latency() -> None:
    assert failed(decide(scores(seconds=np.full(COUNT, 0.07)))) == {"latency"}


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"spread": np.full(COUNT, 0.9)}, "explanation is local"),
        ({"maps": np.ones((COUNT, 7, 7))}, "explanation follows the radiograph"),
        (
            {"maps": np.tile(np.random.default_rng(2).random((1, 7, 7)), (COUNT, 1, 1))},
            "explanation follows the radiograph",
        ),
    ],
    ids=["everywhere", "empty", "always the same"],
)
def test_a_heatmap_that_explains_nothing_fails(change: dict[str, Any], gate: str) -> None:
    assert failed(decide(scores(**change))) == {gate}


def test_a_model_that_covers_less_fails_by_its_scope() -> None:
    decided = decide(scores(), candidate_bundle=bundle(frozenset({"HAND"})))
    assert failed(decided) == {"scope"}
    assert decided["scope"].told == "no longer covers FOOT"


def test_a_set_other_than_the_pinned_one_fails() -> None:
    limits = PromotionSettings(evaluation_sha256="cd" * 32)
    assert failed(decide(scores(), limits=limits)) == {"evaluation set"}
    pinned = PromotionSettings(evaluation_sha256=DIGEST)
    assert failed(decide(scores(), limits=pinned)) == set()


def test_the_test_part_of_another_run_may_have_been_trained_on_and_fails() -> None:
    assert failed(decide(scores(), of=evaluation_set(split_digest="other"))) == {
        "kept from training"
    }


def test_a_set_without_a_split_may_have_been_trained_on_unless_it_is_pinned() -> None:
    own = evaluation_set(split_digest="")
    assert failed(decide(scores(), of=own)) == {"kept from training"}
    pinned = PromotionSettings(evaluation_sha256=DIGEST)
    assert failed(decide(scores(), of=own, limits=pinned)) == set()


def test_too_few_fractured_radiographs_prove_nothing() -> None:
    limits = PromotionSettings(minimum_fractured=COUNT)
    assert failed(decide(scores(), limits=limits)) == {"enough radiographs"}


def test_maps_of_independent_noise_are_not_alike() -> None:
    assert abs(map_likeness(np.random.default_rng(3).random((100, 7, 7)))) < 0.05
