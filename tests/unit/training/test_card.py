"""The model card: where its figures come from and what they leave out."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.calibration import Calibration
from models.prediction import OperatingPoints
from models.pretrained import Pretrained
from tests.unit.training.labelled_folders import make_recipe
from training import scored as scoring
from training.card import ModelName, make_card, split_facts
from training.data.body_parts import LIMBS
from training.data.example import Example, LabelledFolder
from training.presets import PRESETS
from training.recipe import Recipe
from training.scored import Decision, ScoredExamples, decide, figures, judge, metrics
from training.splits import Split
from training.statistics.intervals import with_interval

SPLIT = Split(
    parts=("train", "validation", "test"),
    part_of=("train", "train", "train", "validation", "validation", "test"),
    groups=(0, 0, 1, 1, 2, 2),
    digest="d1" * 32,
)
DATA = LabelledFolder(
    Path("data"),
    "fracatlas",
    (Example(Path("data/1.png"), True, ("block 1", "duplicates 1"), "hand"),),
    "drawn by a test",
    limits=("Drawn by a test.",),
    body_parts=("HAND", "WRIST"),
)
CALIBRATION = Calibration(1.0, 0.0)
POINTS = OperatingPoints(0.3, 0.8)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "with_interval", partial(with_interval, samples=30))


def test_figures_without_hardware_leave_those_radiographs_out() -> None:
    test = make_scored(60, seed=2, hardware_every=4)
    made = _make_card(make_scored(60, seed=1), test)
    metrics = made["metrics"]
    assert metrics["test"]["radiographs"] == 60
    assert metrics["test_without_hardware"]["radiographs"] == 45
    kept = ~test.hardware
    points = OperatingPoints(**made["operating_points"])
    plain = test.chosen(kept)
    judged = judge(plain, Decision(Calibration(**made["calibration"]), points))
    assert metrics["test_without_hardware"] == figures(plain, judged, points)


def test_hardware_moves_the_figures_that_show_it_only() -> None:
    """All that is metal is scored wrong: the figures without it must not know."""
    wrong = make_scored(60, seed=2, hardware_every=4)
    wrong.logits[wrong.hardware] = np.where(wrong.fractured[wrong.hardware], -9.0, 9.0)
    right, wrong_metrics = (
        _make_card(make_scored(60, seed=1), scored)["metrics"]
        for scored in (make_scored(60, seed=2, hardware_every=4), wrong)
    )
    assert wrong_metrics["test_without_hardware"] == right["test_without_hardware"]
    assert wrong_metrics["test"]["auc"]["value"] < right["test"]["auc"]["value"]


@pytest.mark.parametrize("all_fractured", [True, False])
def test_figures_without_hardware_are_absent_where_one_label_has_none_left(
    all_fractured: bool,
) -> None:
    scored = make_scored(20, seed=2)
    chosen = scored.fractured if all_fractured else ~scored.fractured
    examples = [
        replace(example, hardware=bool(one))
        for example, one in zip(scored.examples, chosen, strict=True)
    ]
    test = replace(scored, examples=examples)
    metrics = _make_card(make_scored(60, seed=1), test)["metrics"]
    assert metrics.keys() == {"validation", "test"}


def test_calibration_and_operating_points_are_chosen_on_validation_data_alone() -> None:
    validation = make_scored(200, seed=1)
    first = _make_card(validation, make_scored(60, seed=2))
    second = _make_card(validation, make_scored(60, seed=3))
    assert first["calibration"] == second["calibration"]
    assert first["operating_points"] == second["operating_points"]
    assert first["metrics"]["test"] != second["metrics"]["test"]
    at = first["metrics"]["validation"]["operating_points"]
    assert at["sensitive"]["sensitivity"]["value"] >= scoring.SENSITIVITY_GOAL
    assert at["specific"]["specificity"]["value"] >= scoring.SPECIFICITY_GOAL


def test_figures_count_what_they_were_measured_on() -> None:
    scored = make_scored(60, seed=4)
    made = figures(scored, judge(scored, Decision(CALIBRATION, POINTS)), POINTS)
    probabilities = CALIBRATION.probability(scored.logits)
    assert (made["radiographs"], made["fractured"], made["groups"]) == (60, 20, 12)
    at = made["operating_points"]
    assert at.keys() == {"sensitive", "specific"}
    for name, threshold in (("sensitive", 0.3), ("specific", 0.8)):
        assert at[name]["threshold"] == threshold
        reached = probabilities >= threshold
        expected = reached[scored.fractured].mean(), (~reached)[~scored.fractured].mean()
        found = at[name]["sensitivity"]["value"], at[name]["specificity"]["value"]
        assert found == pytest.approx(expected, abs=5e-5)
    assert made["auc"]["low"] <= made["auc"]["value"] <= made["auc"]["high"]


def test_a_card_is_plain_json_and_states_its_split() -> None:
    made = _make_card(make_scored(60, seed=1), make_scored(60, seed=2))
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    facts = made["training"]["split"]
    assert (facts["train"], facts["validation"], facts["test"]) == (3, 2, 1)
    assert facts["digest"] == SPLIT.digest
    assert (made["name"], made["version"]) == ("test-net", "0.0.1")
    assert made["architecture"]["input_size"] == made["preprocessing"]["input_size"]


def test_a_cards_words_follow_recipe_grid_and_groups() -> None:
    scored = make_scored(60, seed=1)
    limits = " ".join(_make_card(scored, scored)["limits"])
    assert "at 32 × 32 pixels" in limits
    assert "14 × 14 cells" in limits
    assert "Drawn by a test." in limits
    assert "states no patients; what shares a block of neighbouring ids or duplicates" in limits
    known = replace(DATA, examples=(Example(Path("1.png"), True, ("patient 1", "study 1")),))
    card = _make_card(scored, scored, known)
    assert "no patients" not in " ".join(card["limits"])
    unknown = replace(DATA, examples=(Example(Path("1.png"), True, ()),))
    assert (
        "one patient's may be in several parts" in _make_card(scored, scored, unknown)["limits"][-1]
    )
    assert card["training"]["split"]["by"] == (
        "group: what shares a patient or a study stays together"
    )


@pytest.mark.parametrize(
    ("regions", "stated", "expected"),
    [
        (("hand", "leg"), ("HAND", "WRIST"), ["HAND", "WRIST"]),
        (("wrist", "hand", "unknown"), (), ["HAND", "WRIST"]),
        (("", "xr_7"), (), list(LIMBS)),
    ],
)
def test_a_model_is_for_the_body_parts_that_its_data_show(
    regions: tuple[str, ...], stated: tuple[str, ...], expected: list[str]
) -> None:
    scored = make_scored(60, seed=1)
    examples = tuple(Example(Path(f"{one}.png"), True, (), one) for one in regions)
    card = _make_card(scored, scored, replace(DATA, examples=examples, body_parts=stated))
    assert card["scope"]["body_parts"] == expected


def test_a_cards_command_names_the_preset_or_the_recipes_file() -> None:
    scored = make_scored(60, seed=1)
    preset = replace(PRESETS["paper_b_raw"], epochs=3, seed=5)
    for recipe, expected in (
        (preset, "--weights drawn.npz --split split.json --recipe paper_b_raw --epochs 3 --seed 5"),
        (make_recipe(), "--weights drawn.npz --split split.json --recipe recipe.toml"),
    ):
        card = _make_card(scored, scored, recipe=recipe)
        assert card["training"]["command"].endswith(f"--out RUN {expected}")


def test_every_body_part_is_a_code_string() -> None:
    """PS3.5, VR CS: capitals, digits, space and underscore, 16 characters at most."""
    for body_part in LIMBS:
        assert len(body_part) <= 16
        assert set(body_part) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _")
    assert len(set(LIMBS)) == len(LIMBS)


def make_scored(count: int, seed: int, hardware_every: int = 1000) -> ScoredExamples:
    """Every third is fractured and scored higher; five neighbours are a group."""
    numbers = np.arange(count)
    fractured = numbers % 3 == 0
    metal = numbers % hardware_every == hardware_every - 1
    return ScoredExamples(
        examples=[
            Example(Path(f"{number}.png"), bool(one), (), hardware=bool(shown))
            for number, one, shown in zip(numbers, fractured, metal, strict=True)
        ],
        groups=(numbers // 5).astype(np.int32),
        logits=np.random.default_rng(seed).normal(size=count) + 2 * fractured,
    )


def _make_card(
    validation: ScoredExamples,
    test: ScoredExamples,
    data: LabelledFolder = DATA,
    recipe: Recipe | None = None,
) -> dict[str, Any]:
    """As `train` makes it."""
    recipe, decision = recipe or make_recipe(), decide(validation)
    pretrained = Pretrained("drawn.npz", "a" * 64, ("conv1",), ())
    return make_card(
        ModelName("test-net", "0.0.1"),
        recipe,
        data,
        decision,
        pretrained=pretrained,
        cells=(14, 14),
        facts=split_facts(data, SPLIT, recipe, pretrained, is_given=True),
        metrics={
            "validation": figures(validation, judge(validation, decision), decision.points),
            **metrics("test", test, judge(test, decision), decision.points),
        },
    )
