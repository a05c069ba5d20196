"""Paper A's report: plots and Markdown from what `paper_a` computed."""

from collections.abc import Mapping

from training.experiments import theirs
from training.experiments.measures import fitted
from training.experiments.paper_a import (
    FROZEN,
    GRADCAM_FILE,
    MOBILENET,
    RANDOM_SPLIT,
    RESNET,
    Experiment,
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
from training.scored import Json
from training.splits import TEST, TRAIN, VALIDATION
from training.statistics.figures import Confusion

TITLES = {
    MOBILENET: "MobileNetV2",
    RESNET: "ResNet50V2",
    FROZEN: "MobileNetV2, batch normalisation frozen",
    RANDOM_SPLIT: "MobileNetV2, random split",
}
NOT_DONE = "not run yet"


def write_report(experiment: Experiment) -> None:
    """Plots, tables.md and README.md in the experiment's folder, of the runs that are done."""
    metrics = {name: experiment.metrics(name) for name in TITLES if name in experiment.done}
    _plot(experiment, metrics)
    out = experiment.settings.out
    write_text(out / "tables.md", tables(experiment, metrics))
    write_text(out / "README.md", readme(experiment, metrics))


def tables(experiment: Experiment, metrics: Mapping[str, Json]) -> str:
    """All tables."""
    models = {TITLES[name]: found for name, found in metrics.items()}
    on_grouped = {TITLES[name]: metrics[name] for name in metrics if name != RANDOM_SPLIT}
    sections = {
        "Tables 4 and 6": tables_4_and_6(metrics),
        **{
            f"Classification report, {title}": classification_report(model)
            for title, model in models.items()
        },
        "What a leak does": leak_table(metrics),
        "Operating points, chosen on validation": operating_points_table(models),
        "Calibration, fitted on validation": calibration_table(models),
        "Studies": studies_table(models),
        "What can be told without looking at bones": metadata_table(experiment.metadata()),
    }
    if on_grouped:
        sections["Subgroups, grouped split"] = subgroups_table(on_grouped)
    if comparison := experiment.comparison():
        sections["Between networks"] = comparisons_table({_DIFFERENCE: comparison})
    head = f"# Paper A: all tables\n\n{_COLUMNS}\n"
    return head + "".join(f"\n## {title}\n\n{text}" for title, text in sections.items())


def tables_4_and_6(metrics: Mapping[str, Json]) -> str:
    """Theirs and ours, network by network."""
    header = ["", "MobileNetV2, paper", "ours", "ResNet50, paper", "ResNet50V2, ours"]
    mobilenet, resnet = (_figures(metrics.get(name)) for name in (MOBILENET, RESNET))
    rows = [
        [
            name,
            theirs.PAPER_A_TABLES_4_AND_6.get(name, ("–", "–"))[0],
            mobilenet.get(name, NOT_DONE),
            theirs.PAPER_A_TABLES_4_AND_6.get(name, ("–", "–"))[1],
            resnet.get(name, NOT_DONE),
        ]
        for name in _ROWS
    ]
    return table(header, rows)


def leak_table(metrics: Mapping[str, Json]) -> str:
    """One network and recipe, tested on radiographs that training knows less and less of."""
    header = ["MobileNetV2 tested on", "accuracy", "AUC", "group also in training"]
    rows = []
    if grouped := metrics.get(MOBILENET):
        copies = grouped["copies"]
        rows.append(
            [
                "turned and mirrored copies of its training radiographs",
                bare_percent(copies["accuracy"]),
                f"{copies['auc']:.3f}",
                bare_percent(1, 0),
            ]
        )
    for name, title in ((RANDOM_SPLIT, "a random split"), (MOBILENET, "a grouped split")):
        if found := metrics.get(name):
            seen = bare_percent(found["share of test whose group is in training"], 0)
            accuracy = percent(found["one half"]["accuracy"])
            rows.append([title, accuracy, decimal(found["auc"]), seen])
        else:
            rows.append([title, NOT_DONE, NOT_DONE, ""])
    return table(header, rows)


def readme(experiment: Experiment, metrics: Mapping[str, Json]) -> str:
    """The short report."""
    comparison = experiment.comparison()
    return "\n".join(
        [
            "# Paper A, repeated\n",
            f"{theirs.PAPER_A}.\n",
            _protocol(experiment),
            "## Tables 4 and 6\n",
            tables_4_and_6(metrics),
            _majority(metrics),
            "## What a leak does\n",
            leak_table(metrics),
            "## Batch normalisation\n",
            _normalisation_table(metrics),
            "## Between the networks\n",
            comparisons_table({_DIFFERENCE: comparison}) if comparison else f"{NOT_DONE}\n",
            "![Loss and accuracy](curves.png)",
            "![Confusion matrices](confusion.png)",
            "![ROC curves](roc.png)",
            "![Reliability](reliability.png)\n",
            *(
                f"![Grad-CAM of {TITLES[name]}]({name}/{GRADCAM_FILE})"
                for name in metrics
                if name in (MOBILENET, RESNET)
            ),
            "",
            "Grad-CAM panels are drawn by the seed, two per outcome, not chosen; blue boxes are "
            "the data's. [All tables](tables.md); figures are in each run's `metrics.json`.\n",
            _CAVEATS,
        ]
    )


def _plot(experiment: Experiment, metrics: Mapping[str, Json]) -> None:
    out = experiment.settings.out
    tests = {TITLES[name]: experiment.scored(name, TEST) for name in metrics}
    plot_histories(
        out / "curves.png", {_broken(TITLES[name]): experiment.history(name) for name in metrics}
    )
    plot_confusions(
        out / "confusion.png",
        {
            _broken(TITLES[name]): Confusion(**found["one half"]["confusion"])
            for name, found in metrics.items()
        },
    )
    plot_roc(
        out / "roc.png", {title: (test.logits, test.fractured) for title, test in tests.items()}
    )
    plot_reliability(
        out / "reliability.png",
        {
            f"{TITLES[name]}, {how}": (
                calibration.probability(tests[TITLES[name]].logits),
                tests[TITLES[name]].fractured,
            )
            for name in metrics
            if name in (MOBILENET, RESNET)
            for how, calibration in fitted(experiment.scored(name, VALIDATION)).items()
            if how != "Platt"
        },
    )


def _figures(found: Json | None) -> dict[str, str]:
    """Ours by the paper's names."""
    if found is None:
        return {}
    at, parts = found["one half"], found["parts"]
    return {
        "training accuracy": bare_percent(parts[TRAIN]["accuracy"]),
        "validation accuracy": bare_percent(parts[VALIDATION]["accuracy"]),
        "test accuracy": percent(at["accuracy"]),
        "recall, fractured": percent(at["sensitivity"]),
        "recall, not fractured": percent(at["specificity"]),
        "precision": f"{decimal(at['precision'])} fractured, "
        f"{decimal(at['negative_precision'])} not",
        "macro F1": decimal(at["macro_f1"]),
        "AUC": decimal(found["auc"]),
        "training loss": f"{parts[TRAIN]['loss']:.4f}",
        "validation loss": f"{parts[VALIDATION]['loss']:.4f}",
        "seconds per image": f"{found['seconds per image']:.3f} (CPU, {found['cores']} cores, "
        f"load {found['load average']:.0f})",
    }


_ROWS = (
    "training accuracy",
    "validation accuracy",
    "test accuracy",
    "recall, fractured",
    "recall, not fractured",
    "precision",
    "macro F1",
    "AUC",
    "training loss",
    "validation loss",
    "seconds per image",
)


def _normalisation_table(metrics: Mapping[str, Json]) -> str:
    header = ["MobileNetV2, batch normalisation", "test accuracy", "macro F1", "AUC"]
    rows = []
    for name, title in ((MOBILENET, "in training mode, as the paper's"), (FROZEN, "frozen")):
        found = metrics.get(name)
        if found is None:
            rows.append([title, NOT_DONE, "", ""])
            continue
        at = found["one half"]
        rows.append(
            [title, percent(at["accuracy"]), decimal(at["macro_f1"]), decimal(found["auc"])]
        )
    return table(header, rows)


def _majority(metrics: Mapping[str, Json]) -> str:
    found = metrics.get(MOBILENET) or metrics.get(RESNET)
    if found is None:
        return ""
    share = 1 - found["fractured"] / found["radiographs"]
    return (
        f"Of the {found['radiographs']} test radiographs {found['fractured']} are fractured, in "
        f"{found['groups']} groups: an answer that is always no would have an accuracy of "
        f"{bare_percent(max(share, 1 - share))}.\n"
    )


def _protocol(experiment: Experiment) -> str:
    own = experiment.settings
    weights = "; ".join(
        f"{name}: {path.name if path else 'none, it began random'}"
        for name, path in own.weights.items()
    )
    sizes = "/".join(str(len(experiment.grouped.rows(part))) for part in (TRAIN, VALIDATION, TEST))
    recipe = own.recipes[MOBILENET]
    return (
        f"Data: {experiment.data.attribution}; {sizes} radiographs in training, validation and "
        f"test. Pretrained weights: {weights}. All layers learn, {recipe.epochs} epochs at most "
        "with early stopping on validation loss, class weights, the paper's augmentations. A fifth "
        "is for test, as in its table 1, and a fifth of the rest for validation, so that the test "
        f"part chooses nothing. Seed {own.seed}.\n\n{_COLUMNS}\n"
    )


def _broken(title: str) -> str:
    """In two lines, for the head of a narrow plot."""
    return title.replace(", ", ",\n", 1)


_DIFFERENCE = "MobileNetV2 less ResNet50V2"
_COLUMNS = (
    "Ours with 95 % intervals in brackets, by bootstrap over groups (what a split must not part). "
    "Figures at a threshold call a radiograph fractured from the probability 0.5 on, as the paper "
    "does. Training and validation accuracy and losses are of the kept network on plain "
    "radiographs. DeLong and McNemar take radiographs for independent and are too sure."
)
_CAVEATS = """## Why the columns cannot be compared

- Theirs are of a set of bone radiographs without patients, of a kind known for turned copies of one
  radiograph; validation and test are one part of it, so the test part chose the epoch.
- Their figures contradict each other: ResNet50 with a recall of 1.00 for fractured and 0.00 for not
  would score 82/425 = 0.19 on the stated test part, not 0.94; that needs 94 % fractured. The text
  says 93 % against 7 %, table 1 says 19 % fractured.
- The rows under "What a leak does" say how far a split alone can move such figures.
- Their ResNet50 is version 1 with all of its ImageNet weights; open weights are of version 2
  through conv4, conv5 began random.
- Their seconds are a GPU's (P100 or T4).
- With all layers learning, cross-validation and shuffled labels would cost these runs many times
  over; paper B's report has both, of a frozen backbone.
"""
