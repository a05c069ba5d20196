"""What the experiments are made of: stages, search, leaks, figures, tables and plots."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.training.scores import scored
from training.data.example import Box, Example
from training.errors import RunError
from training.experiments import search as searching
from training.experiments import theirs
from training.experiments.leaks import random_split, share_seen
from training.experiments.measures import (
    compare,
    compare_folds,
    measure,
    measure_folds,
)
from training.experiments.search import Choice, best, search
from training.experiments.stages import arrays_once, claim, json_once
from training.experiments.tables import (
    classification_report,
    comparisons_table,
    decimal,
    metadata_table,
    p_value,
    percent,
    studies_table,
    subgroups_table,
)
from training.history import Epoch
from training.plots import (
    Panel,
    plot_confusions,
    plot_histories,
    plot_panels,
    plot_reliability,
    plot_roc,
)
from training.scored import ScoredExamples
from training.splits import TEST, TRAIN, make_split, shares_plan
from training.statistics.calibration import fit_temperature
from training.statistics.figures import Confusion, auc
from training.statistics.folds import auc_within_folds

SAMPLES = 50


def test_a_stage_is_computed_once(tmp_path: Path) -> None:
    def refuse() -> dict[str, np.ndarray]:
        raise AssertionError("computed again")

    first = arrays_once(tmp_path / "deep" / "a.npz", lambda: {"a": np.arange(3)})
    assert list(first["a"]) == list(arrays_once(tmp_path / "deep" / "a.npz", refuse)["a"])
    assert json_once(tmp_path / "b.json", lambda: {"b": [1, 2]}) == {"b": [1, 2]}
    assert json_once(tmp_path / "b.json", refuse) == {"b": [1, 2]}


def test_a_folder_is_claimed_by_one_configuration(tmp_path: Path) -> None:
    claim(tmp_path / "out", {"seed": 7, "shares": (1, 2)})
    claim(tmp_path / "out", {"seed": 7, "shares": (1, 2)})
    with pytest.raises(RunError, match="another seed;"):
        claim(tmp_path / "out", {"seed": 8, "shares": (1, 2)})


@pytest.fixture
def _two_initial_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "INITIAL_POINTS", 2)


def _near_512(choice: Choice) -> float:
    return 1.0 - abs(choice.hidden_units - 512) / 1024 - choice.dropout / 10


@pytest.mark.usefixtures("_two_initial_points")
def test_a_search_that_was_stopped_makes_the_trials_it_would_have_made(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole.json", 4, 7, _near_512)
    tried: list[Choice] = []

    def stopped(choice: Choice) -> float:
        if len(tried) == 3:
            raise KeyboardInterrupt
        tried.append(choice)
        return _near_512(choice)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "stopped.json", 4, 7, stopped)
    tried_again: list[Choice] = []

    def counted(choice: Choice) -> float:
        tried_again.append(choice)
        return _near_512(choice)

    assert search(tmp_path / "stopped.json", 4, 7, counted) == whole
    assert [*tried, *tried_again] == [trial.choice for trial in whole]
    assert best(whole).val_auc == max(trial.val_auc for trial in whole)
    assert len({trial.choice for trial in whole}) == 4
    for trial in whole:
        assert 0.1 <= trial.choice.dropout <= 0.6
        assert trial.choice.hidden_units in range(128, 1025, 128)
        assert 1e-5 <= trial.choice.learning_rate <= 1e-2


def _examples(count: int = 120) -> list[Example]:
    """Patients of four radiographs each."""
    return [
        Example(
            Path(f"data/{row}.png"),
            fractured=row // 4 % 3 == 0,
            groups=(f"patient {row // 4}",),
            region="hand" if row // 4 % 2 else "leg",
            view="lateral" if row % 2 else "frontal",
            hardware=False,
            study=f"study {row // 2}",
        )
        for row in range(count)
    ]


def test_a_random_split_parts_what_a_grouped_one_keeps_together() -> None:
    examples, plan = _examples(), shares_plan((64, 16, 20), seed=3)
    grouped, leaking = make_split(examples, plan), random_split(examples, plan)
    assert share_seen(grouped) == 0.0
    assert share_seen(leaking) > 0.7
    sizes = [len(leaking.rows(part)) for part in leaking.parts]
    assert [round(size / 120, 2) for size in sizes] == pytest.approx([0.64, 0.16, 0.20], abs=0.02)
    assert leaking.groups == grouped.groups
    assert set(leaking.rows(TRAIN)).isdisjoint(leaking.rows(TEST))


def test_a_temperature_is_found_and_is_the_best() -> None:
    random = np.random.default_rng(3)
    true = random.normal(0.0, 2.0, size=4000)
    labels = random.random(4000) < 1 / (1 + np.exp(-true))
    found = fit_temperature(3.0 * true, labels)
    assert found.scale == pytest.approx(1 / 3, rel=0.1)
    assert found.offset == 0.0

    def cross_entropy(scale: float) -> float:
        return float(np.logaddexp(0, np.where(labels, -1, 1) * scale * 3.0 * true).mean())

    grid = [cross_entropy(scale) for scale in np.linspace(0.05, 2.0, 500)]
    assert cross_entropy(found.scale) <= min(grid) + 1e-6


def test_folds_are_ranked_by_themselves() -> None:
    """Both rank perfectly; on one scale the second's fractured are below the first's others."""
    scores = np.array([1.0, 2.0, -9.0, -8.0])
    labels = np.array([False, True, False, True])
    figure = auc_within_folds(scores, labels, ["a", "a", "b", "b"])
    assert figure(np.arange(4)) == 1.0
    assert auc(scores, labels) < 1.0
    assert figure(np.array([0, 1, 2])) == 1.0
    assert np.isnan(figure(np.array([0, 2])))


def _scored(seed: int, shift: float = 1.0) -> ScoredExamples:
    examples = _examples()
    random = np.random.default_rng(seed)
    labels = np.array([example.fractured for example in examples])
    groups = np.arange(120, dtype=np.int32) // 4
    return ScoredExamples(examples, groups, random.normal(size=120) + shift * labels - 0.5)


def test_a_model_is_measured_and_told_in_tables() -> None:
    validation, test = _scored(1), _scored(2)
    found = json.loads(json.dumps(measure(validation, test, SAMPLES)))
    counts = Confusion(**found["one half"]["confusion"])
    assert found["one half"]["accuracy"]["value"] == pytest.approx(counts.accuracy, abs=5e-5)
    assert counts.count == found["radiographs"] == 120
    assert found["auc"]["value"] == pytest.approx(auc(test.logits, test.fractured), abs=5e-5)
    assert found["sensitive point"]["sensitivity"]["value"] > 0.6
    assert found["calibration"].keys() == {"none", "temperature", "Platt"}
    assert found["calibration"]["temperature"]["offset"] == 0.0
    assert found["studies"]["studies"] == 60
    report = classification_report(found)
    assert f"{counts.precision:.3f} (" in report
    assert f"{counts.negative_f1:.3f} (" in report
    assert "| region: hand | 60 |" in subgroups_table({"net": found})
    assert "| net | 120 | 60 |" in studies_table({"net": found})
    assert "no studies" in studies_table({"net": {**found, "studies": None}})


def test_a_figure_of_nothing_is_no_number() -> None:
    """A network that calls nothing fractured has no precision."""
    silent = _scored(2)
    silent = replace(silent, logits=silent.logits - 50.0)
    found = json.loads(json.dumps(measure(_scored(1), silent, SAMPLES)))
    precision = found["one half"]["precision"]
    assert precision["value"] is None
    assert decimal(precision) == percent(precision) == "–"


def test_a_better_model_is_told_from_a_worse_one_and_not_from_itself() -> None:
    validation, good, bad = _scored(1), _scored(2, shift=3.0), _scored(3, shift=0.0)
    found = compare((validation, good), (validation, bad), 200)
    assert found["auc difference"]["low"] > 0
    assert found["p, permutation by group"] < 0.05
    assert found["p, DeLong"] < 0.01
    same = compare((validation, good), (validation, good), SAMPLES)
    assert same["auc difference"]["value"] == 0.0
    assert same["p, permutation by group"] == 1.0
    assert same["McNemar"]["one half"]["p"] == 1.0
    assert "| good less bad |" in comparisons_table({"good less bad": found})


def test_folds_are_measured_together_and_compared() -> None:
    good = {"fold 0": _scored(4, shift=3.0), "fold 1": _scored(5, shift=3.0)}
    bad = {"fold 0": _scored(6, shift=0.0), "fold 1": _scored(7, shift=0.0)}
    # Another model has another scale: it must not count.
    shifted = {"fold 0": good["fold 0"], "fold 1": good["fold 1"]}
    shifted["fold 1"] = replace(shifted["fold 1"], logits=shifted["fold 1"].logits - 9.0)
    found = measure_folds(good, SAMPLES)
    assert found["radiographs"] == 240
    assert found["auc"]["value"] == pytest.approx(np.mean(found["auc of each fold"]), abs=5e-5)
    assert measure_folds(shifted, SAMPLES)["auc"] == found["auc"]
    compared = compare_folds(good, bad, 200)
    assert compared["auc difference"]["low"] > 0
    assert compared["p, permutation by group"] < 0.05


def test_percent_and_p_are_written_for_readers() -> None:
    assert percent({"value": 0.8123, "low": 0.76, "high": 0.859}) == "81.2 % (76.0 to 85.9)"
    assert decimal({"value": -0.04, "low": -0.1, "high": 0.02}) == "−0.040 (−0.100 to 0.020)"
    assert (p_value(0.0004), p_value(0.04), p_value(None)) == ("< 0.001", "0.040", "–")


def test_attributes_of_the_metadata_control_are_named_in_short() -> None:
    estimate = {"value": 0.7, "low": 0.6, "high": 0.8}
    lines = [
        {"attributes": attributes, "estimate": estimate}
        for attributes in (["region", "view", "hardware"], ["region", "view"], ["region"])
    ]
    names = [row.split(" | ")[0] for row in metadata_table(lines).splitlines()[2:]]
    assert names == ["| all", "| all but hardware", "| region"]


def test_the_papers_confusion_matrices_give_what_their_tables_print() -> None:
    for at, variant in enumerate(theirs.PAPER_B_VARIANTS):
        recall, specificity = theirs.PAPER_B_POINTS[variant]
        printed = theirs.PAPER_B_TABLE_8["recall, fractured"][at]
        assert printed.startswith(f"{recall:.1%}".replace("%", " %"))
        count = round(167 * recall) + round(434 * specificity)
        accuracy = theirs.PAPER_B_TABLE_8["accuracy"][at]
        assert f"{100 * count / 601:.1f} %" in accuracy
        assert float(theirs.PAPER_B_TABLE_8["specificity"][at].split()[0]) == pytest.approx(
            100 * specificity, abs=0.25
        )


def test_plots_show_what_they_are_given(tmp_path: Path) -> None:
    scores, labels = scored(90, 1)
    probabilities = 1 / (1 + np.exp(-scores))
    epochs = [Epoch(n, 1 / n, 0.5, 1.2 / n, 0.4 + n / 10, 0.6, 1e-4, 1.0) for n in (1, 2, 3)]
    pixels = np.linspace(0, 1, 600, dtype=np.float32).reshape(30, 20)
    panel = Panel("true positive", pixels, pixels[:8, :5], (Box(2, 3, 8, 9),))
    plot_roc(tmp_path / "roc.png", {"net": (scores, labels)}, {"theirs": (0.4, 0.9)})
    plot_histories(tmp_path / "history.png", {"net": epochs, "other": epochs[:1]})
    plot_confusions(tmp_path / "confusion.png", {"net": Confusion(5, 2, 0, 9)})
    plot_reliability(tmp_path / "reliability.png", {"net": (probabilities, labels)})
    plot_panels(tmp_path / "panels.png", [panel] * 3)
    for path in sorted(tmp_path.iterdir()):
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 300, path
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20, path
    assert len(list(tmp_path.iterdir())) == 5
