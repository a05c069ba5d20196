"""Paper B's report: plots and Markdown from what `paper_b` computed."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.experiments import theirs
from training.experiments.measures import fitted
from training.experiments.paper_b import (
    ALL_REGIONS,
    BALANCED,
    GRADCAM_FILE,
    METRICS_FILE,
    RANDOM_FOLDS,
    RAW,
    SHUFFLED,
    TUNED,
    Cohort,
    PaperB,
)
from training.experiments.tables import (
    bare_percent,
    calibration_table,
    classification_report,
    comparisons_table,
    decimal,
    metadata_table,
    operating_points_table,
    percent,
    studies_table,
    subgroups_table,
    table,
)
from training.plots import plot_confusions, plot_histories, plot_reliability, plot_roc
from training.run_folder import write_text
from training.scored import Json, ScoredExamples
from training.statistics.figures import Confusion

TITLES = {RAW: "raw", BALANCED: "balanced", TUNED: "balanced + tuned"}
TABLES_FILE = "tables.md"
README_FILE = "README.md"

_TABLE_8 = {
    "accuracy": ("one half", "accuracy", percent),
    "recall, fractured": ("one half", "sensitivity", percent),
    "specificity": ("one half", "specificity", percent),
    "AUC": ("", "auc", decimal),
    "precision, fractured": ("one half", "precision", decimal),
    "F1, fractured": ("one half", "f1", decimal),
    "precision, not fractured": ("one half", "negative_precision", decimal),
    "F1, not fractured": ("one half", "negative_f1", decimal),
}
"""The paper's figure → where ours stands, and how it is written."""


def write_report(cohorts: Sequence[Cohort]) -> None:
    """Plots and tables.md of the last cohort, and README.md of all these."""
    last, settings = cohorts[-1], cohorts[-1].settings
    plot_cohort(last)
    write_text(last.folder / TABLES_FILE, tables(last.name, last.metrics()))
    metrics = {cohort.name: cohort.metrics() for cohort in cohorts}
    write_text(settings.out / README_FILE, readme(settings, metrics))


def plot_cohort(cohort: Cohort) -> None:
    """ROC and loss curves, confusion matrices and reliability of the three variants."""
    scored = {variant: cohort.scored(variant) for variant in TITLES}
    tests = {variant: test for variant, (_, test) in scored.items()}
    plot_roc(
        cohort.folder / "roc.png",
        {TITLES[name]: (test.logits, test.fractured) for name, test in tests.items()},
        {f"{TITLES[name]}, paper": point for name, point in theirs.PAPER_B_POINTS.items()},
    )
    plot_histories(
        cohort.folder / "loss.png",
        {TITLES[name]: history for name, history in cohort.histories().items()},
        cohort.settings.recipes[RAW].watched,
    )
    split = cohort.metrics()["split"]
    plot_confusions(
        cohort.folder / "confusion.png",
        {TITLES[name]: Confusion(**split[name]["one half"]["confusion"]) for name in TITLES},
    )
    plot_reliability(cohort.folder / "reliability.png", _calibrated(*scored[TUNED]))


def tables(name: str, metrics: Json) -> str:
    """All tables of a cohort."""
    split = {TITLES[one]: metrics["split"][one] for one in TITLES}
    folds = {TITLES[one]: metrics["folds"][one] for one in TITLES}
    sections = {
        "Table 8 on the test part of the 72/18/10 split": table_8(metrics["split"]),
        "Table 8 by cross-validation": table_8(metrics["folds"]),
        "Tables 4 and 7: the search": search_table(metrics["trials"]),
        **{
            f"Classification report, {title}, cross-validated": classification_report(model)
            for title, model in folds.items()
        },
        "AUC of each fold": folds_table(metrics["folds"]),
        "Between models, on the split": comparisons_table(metrics["comparisons"]),
        "Between models, cross-validated": comparisons_table(metrics["fold comparisons"]),
        "Operating points, chosen on validation, on the split": operating_points_table(split),
        "Calibration, fitted on validation, on the split": calibration_table(split),
        "Subgroups, cross-validated": subgroups_table(folds),
        "Studies": studies_table(folds),
        "Controls": controls_table(metrics),
        "What can be told without looking at bones": metadata_table(metrics["metadata"]),
    }
    head = f"# Paper B, {_words(name)}: all tables\n\n{_COLUMNS}\n"
    return head + "".join(f"\n## {title}\n\n{text}" for title, text in sections.items())


def readme(settings: PaperB, metrics: Mapping[str, Json]) -> str:
    """The short report."""
    return "\n".join(
        [
            "# Paper B, repeated\n",
            f"{theirs.PAPER_B}.\n",
            _protocol(settings, metrics),
            *(_cohort_section(name, found) for name, found in metrics.items()),
            _CAVEATS,
        ]
    )


def table_8(models: Mapping[str, Json]) -> str:
    """Theirs and ours, variant by variant."""
    header = [""] + [cell for one in TITLES.values() for cell in (f"{one}, paper", f"{one}, ours")]
    rows = []
    for figure, (point, key, written) in _TABLE_8.items():
        printed = theirs.PAPER_B_TABLE_8[figure]
        cells = [figure]
        for at, variant in enumerate(theirs.PAPER_B_VARIANTS):
            own = models[variant][point] if point else models[variant]
            cells += [printed[at], written(own[key])]
        rows.append(cells)
    return table(header, rows)


def search_table(trials: Sequence[Mapping[str, Any]]) -> str:  # Any: JSON
    """The trials in their order, the best marked, and the paper's best."""
    best = max(trials, key=lambda trial: float(trial["val_auc"]))
    rows = [
        [
            f"{number}{' (best)' if trial is best else ''}",
            f"{trial['choice']['dropout']:.2f}",
            str(trial["choice"]["hidden_units"]),
            f"{trial['choice']['learning_rate']:.3g}",
            f"{trial['val_auc']:.3f}",
        ]
        for number, trial in enumerate(trials, start=1)
    ]
    paper = theirs.PAPER_B_TABLES_4_AND_7
    rows.append(["paper's best", *(paper[name] for name in paper), "–"])
    return table(["trial", *paper, "validation AUC"], rows)


def folds_table(models: Mapping[str, Json]) -> str:
    """How far the folds' models differ."""
    count = len(models[RAW]["auc of each fold"])
    header = ["", *(f"fold {number}" for number in range(count)), "mean"]
    rows = [
        [
            TITLES.get(name, name),
            *("–" if area is None else f"{area:.3f}" for area in model["auc of each fold"]),
            decimal(model["auc"]),
        ]
        for name, model in models.items()
    ]
    return table(header, rows)


def controls_table(metrics: Json) -> str:
    """What would expose a leak, and what a leak would do."""
    folds = metrics["folds"]
    seen = metrics["share of test whose group is in training"]
    grouped, leaking = (bare_percent(seen[f"{how} folds"], 0) for how in ("grouped", "random"))
    rows = [
        ["balanced, grouped folds", decimal(folds[BALANCED]["auc"]), grouped],
        [
            "the same, labels dealt anew in training and validation (0.5 is meant)",
            decimal(folds[SHUFFLED]["auc"]),
            grouped,
        ],
        ["the same, folds at random: a leak", decimal(folds[RANDOM_FOLDS]["auc"]), leaking],
        ["metadata alone, grouped folds", decimal(metrics["metadata"][0]["estimate"]), grouped],
    ]
    return table(["", "AUC", "test radiographs with their group in training"], rows)


def _calibrated(
    validation: ScoredExamples, test: ScoredExamples
) -> dict[str, tuple[Any, Any]]:  # Any: arrays
    names = {"none": "as trained", "temperature": "temperature", "Platt": "Platt"}
    return {
        names[name]: (calibration.probability(test.logits), test.fractured)
        for name, calibration in fitted(validation).items()
    }


def _protocol(settings: PaperB, metrics: Mapping[str, Json]) -> str:
    weights = settings.weights.name if settings.weights else "none: a random backbone"
    sizes = "; ".join(
        f"{_words(name).capitalize()}: {found['folds'][RAW]['radiographs']} radiographs, "
        f"{found['folds'][RAW]['fractured']} fractured, "
        + "/".join(f"{count}" for count in found["parts"].values())
        + " in training, validation and test"
        for name, found in metrics.items()
    )
    return (
        f"Data: {settings.data.attribution}. {sizes}. Backbone weights: {weights}, the backbone "
        "cut at `conv5_block1_preact_relu` and frozen; what its head sees was computed once, of "
        f"{settings.copies} augmented copies of each training radiograph (of the rarer class so "
        "many more as it is shown more often when balanced). Raw, balanced (the rarer class shown "
        f"again, augmented otherwise, until both are equal) and tuned ({settings.trials} trials of "
        "KerasTuner's Bayesian search on the balanced set, by validation AUC). "
        f"{settings.folds} grouped folds beside the paper's one split. Seed {settings.seed}.\n\n"
        f"{_COLUMNS}\n"
    )


def _cohort_section(name: str, metrics: Json) -> str:
    folder = name
    return "\n".join(
        [
            f"## {_words(name).capitalize()}\n",
            "Table 8, cross-validated:\n",
            table_8(metrics["folds"]),
            f"On the split's {metrics['parts']['test']} test radiographs:\n",
            table_8(metrics["split"]),
            "The search (tables 4 and 7):\n",
            search_table(metrics["trials"]),
            "Controls:\n",
            controls_table(metrics),
            "Between models, cross-validated:\n",
            comparisons_table(metrics["fold comparisons"]),
            f"![ROC curves]({folder}/roc.png)",
            f"![Loss and accuracy]({folder}/loss.png)",
            f"![Confusion matrices]({folder}/confusion.png)",
            f"![Reliability]({folder}/reliability.png)",
            f"![Grad-CAM++]({folder}/{GRADCAM_FILE})\n",
            "In the ROC plot dots are calls at the probability one half, crosses the paper's. "
            "Grad-CAM++ panels are drawn by the seed, two per outcome, not chosen; blue boxes are "
            f"the data's. [All tables]({folder}/{TABLES_FILE}), "
            f"[figures]({folder}/{METRICS_FILE}).\n",
        ]
    )


def _words(name: str) -> str:
    return "all regions" if name == ALL_REGIONS else f"region {name}"


_COLUMNS = (
    "Ours with 95 % intervals in brackets, by bootstrap over groups (what a split must not part). "
    "Figures at a threshold call a radiograph fractured from the probability 0.5 on, as the paper "
    "does. DeLong and McNemar take radiographs for independent and are too sure."
)

_CAVEATS = """## Why the columns cannot be compared

- Theirs are of MURA's hands, whose labels say abnormal, not fractured; ours are of other data,
  which say fractured.
- The paper does not say whether one patient's radiographs can lie in training and test. Ours never
  do as far as the data state it; the control with random folds shows what it would change.
- Their table contradicts itself: 74 % accuracy for raw, where its confusion matrix gives 78.4 %; an
  AUC of 0.263, which is below chance and probably 1 − 0.737.
- Their ResNet-101 is version 1 with all of its ImageNet weights; open weights are of version 2
  through conv4, so the backbone is cut there.
- Their figures are of one split of 601 radiographs, without intervals.
- The tuned choice was made on the split's validation part, which lies in the test parts of the
  folds: tuned is seen slightly too well by cross-validation.
"""
