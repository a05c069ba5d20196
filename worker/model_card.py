"""The model card as Markdown, from the bundle alone: docs/model-card.md is this text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from db.outcomes import percent
from models.bundle import ModelBundle
from models.head import head_of
from worker.study_figures import (
    DRAWS,
    PREVALENCES,
    RADIOGRAPHS,
    Share,
    StudySimulation,
)

Json = Mapping[str, Any]
"""Any: JSON values of the card."""

_FIRST_COMMAND = "fracture-screen train --data FRACATLAS --weights MOBILENETV2.weights.h5 --out RUN"
"""Of version 0.1.0, whose card holds no text of it."""
_NEARLY_ALL = 0.995
_TURNS = ("0", "90", "180", "270")
_TURNED_HEAD = f"| turned by | {' | '.join(f'{turn}°' for turn in _TURNS)} |"
_PARTS = {
    "validation": "validation",
    "test": "test",
    "test_without_hardware": "test without metal hardware",
    "cross_validation": "cross-validation",
    "cross_validation_without_hardware": "cross-validation without metal hardware",
}


def model_card(bundle: ModelBundle) -> str:
    """What it is, what it was trained on, how well it does, and where it fails."""
    card, facts = bundle.card, bundle.card["training"]
    rows, columns = bundle.architecture.shape
    sections = [
        f"# Model card: {bundle.identity.label}",
        "Written by `fracture-screen model show --markdown`; a test holds it against the bundle.",
        f"- Digest: `{bundle.identity.digest}`\n"
        f"- Network: {bundle.architecture.name}, {rows} × {columns} pixels; {facts['backbone']}\n"
        f"- Explanation: {head_of(bundle.weights).method} on the features before the head "
        "(HiResCAM where a fracture map adds to the score, Grad-CAM++ where it comes from pooled "
        "features alone)\n"
        f"- For: CR and DX of {', '.join(sorted(bundle.body_parts)).lower()}; or any that its "
        f"header does not surely say to show no limb{_scope(bundle)}\n"
        "- Use: research only, not a medical device. It flags; it does not diagnose.",
        "## Data",
        f"{facts['data']}. {_split(facts['split'])}",
        "## Training",
        facts.get("protocol") or _first_protocol(facts["recipe"]),
        "## Figures",
        " ".join(
            (
                f"Operating points: {facts['operating_points']}. Intervals: {facts['intervals']}.",
                *region_points(bundle),
            )
        ),
        _figures(card["metrics"]),
        *_per_study(card["metrics"]),
        *_subgroups(card.get("subgroups", {})),
        *_explanation(card.get("explanation", {})),
        *_turned(card.get("position", {})),
        "The command that gives these figures:",
        f"```sh not run: it takes hours\n{facts.get('command') or _FIRST_COMMAND}\n```",
        "## Limits",
        "\n".join(f"- {limit}" for limit in bundle.limits),
    ]
    return "\n\n".join(sections) + "\n"


def _scope(bundle: ModelBundle) -> str:
    if bundle.scope is None:
        return ""
    rejected = next(iter(bundle.card["scope"].get("rejected", {}).values()), None)
    wrongly = ""
    if rejected:
        wrongly = f" ({_percent(rejected, 1)} of radiographs that the scope was not fitted to)"
    return f"; what is unlike its training radiographs it leaves unanalysed{wrongly}"


def _turned(figures: Json) -> list[str]:
    """How radiographs fare that lie on their side, and what else the last refit measured."""
    if not figures:
        return []
    rows = [
        " | ".join((f"| {measure}: {group}", *(_percent(turns[turn][group], 1) for turn in _TURNS)))
        + " |"
        for measure, turns in figures.items()
        if set(_TURNS) <= set(turns)
        for group in turns["0"]
    ]
    outside = figures.get("outside the scope", {})
    looks = [f"{look}: {_percent(groups['all'], 1)}" for look, groups in outside.items()]
    return [
        "## Turned radiographs, and the scope",
        "A head on the same features tells a radiograph that lies on its side; it is turned by a "
        "quarter and seen once more, which doubles its time in the network. Shares of the training "
        "radiographs, by heads that had not seen their group (`fracture-screen model refit`); the "
        "network itself had learned from them, upright, so their level is too high and only what "
        "lies between the columns counts.",
        "\n".join([_TURNED_HEAD, "| --- | --- | --- | --- | --- |", *rows]),
        "Outside the scope, so left unanalysed: " + "; ".join(looks) + ". Processed: edges and "
        "local contrast enhanced as far as makers go, simulated as it was for the fit; other "
        "makers' own pictures may fare worse. Pictures of other parts are few: "
        "three chests of two sources and drawn ones; of skull, spine and abdomen none.",
    ]


def region_points(bundle: ModelBundle) -> list[str]:
    """One sentence per region that has operating points of its own."""
    return [
        f"For {region}: fracture possible at ≥ {percent(own.sensitive)}, "
        f"likely at ≥ {percent(own.specific)}."
        for region, own in sorted(bundle.region_operating_points.items())
    ]


def performance(all_metrics: Json) -> str:
    """One sentence for the report: AUC, and both operating points, with intervals."""
    is_test = "test" in all_metrics
    metrics = _held_out(all_metrics)
    whose = "test radiographs" if is_test else "radiographs by networks that had not seen them"
    sensitive, specific = (metrics["operating_points"][name] for name in ("sensitive", "specific"))
    return (
        f"Measured on {metrics['radiographs']} {whose}, {metrics['fractured']} of them "
        f"fractured (95 % interval): AUC {_plain(metrics['auc'])}; possible: sensitivity "
        f"{_percent(sensitive['sensitivity'])}, specificity {_percent(sensitive['specificity'])}; "
        f"likely: sensitivity {_percent(specific['sensitivity'])}, specificity "
        f"{_percent(specific['specificity'])}."
    )


def figure_rows(metrics: Json) -> list[tuple[str, ...]]:
    """(figure, value per part) rows, the parts in the card's order."""
    parts = list(metrics.values())
    rows = [
        ("radiographs", *(str(part["radiographs"]) for part in parts)),
        ("of them fractured", *(str(part["fractured"]) for part in parts)),
        ("AUC", *(_plain(part["auc"]) for part in parts)),
    ]
    for word, name in (("possible", "sensitive"), ("likely", "specific")):
        points = [part["operating_points"][name] for part in parts]
        rows.append((f"{word}: at probability ≥", *(percent(p["threshold"]) for p in points)))
        for kind in ("sensitivity", "specificity"):
            rows.append((f"{word}: {kind}", *(_percent(point[kind]) for point in points)))
    return rows


def part_names(metrics: Json) -> list[str]:
    """Headings for `figure_rows`."""
    return [_PARTS.get(name, name) for name in metrics]


def _held_out(all_metrics: Json) -> Json:
    """Figures of all radiographs that the networks had not seen."""
    metrics: Json = all_metrics["test" if "test" in all_metrics else "cross_validation"]
    return metrics


def _per_study(all_metrics: Json) -> list[str]:
    """Simulated figures per study, where every rate of a radiograph is known."""
    try:
        simulation = StudySimulation(_held_out(all_metrics)["operating_points"])
    except ValueError:
        return []
    flagged_rows = []
    for count in RADIOGRAPHS:
        shares = [simulation.flagged(count, showing) for showing in (0, 1, count)]
        cells = [_share(share) for kind in shares for share in (kind.likely, kind.any)]
        flagged_rows.append((str(count), *cells))
    value_rows = []
    for prevalence in PREVALENCES:
        for count in RADIOGRAPHS:
            values = simulation.predictive_values(count, prevalence)
            cells = [_share(share) for share in (values.likely, values.possible)]
            value_rows.append(
                (f"{100 * prevalence:.0f} %", str(count), *cells, _share(values.negative, 1))
            )
    return [
        "### Per study",
        "A study is flagged where any of its radiographs is. Each further radiograph is another "
        "chance of a false flag at both operating points, so studies of several radiographs are "
        "flagged more often than the figures per radiograph say.",
        "These figures are simulated, not measured: the data name no studies. A simulated study "
        "has 1 to 4 radiographs that reach each operating point as often as the held-out ones "
        "above, independently of each other. Real radiographs of one study resemble each other: "
        "expect figures between those of one radiograph and these. Intervals: 95 %, from "
        f"{DRAWS} draws of the rates within their own intervals, each rate by itself. "
        "`fracture-screen model show --markdown` computes them.",
        "Share of studies flagged:",
        _table(
            (
                "radiographs",
                "no fracture: likely",
                "no fracture: any flag",
                "fracture on one radiograph: likely",
                "fracture on one radiograph: any flag",
                "fracture on all: likely",
                "fracture on all: any flag",
            ),
            flagged_rows,
        ),
        "What an outcome means, by how common fractures are (the fracture shows on one radiograph "
        "of its study). PPV: share with a fracture among studies of that outcome; NPV: share "
        "without. A PPV below the share of studies with a fracture means that a fracture is rarer "
        "among these studies than among all: the outcome says that a fracture could not be ruled "
        "out, not that there is one.",
        _table(
            (
                "studies with a fracture",
                "radiographs",
                'PPV of "Fracture likely"',
                'PPV of "Fracture possible"',
                'NPV of "No fracture flagged"',
            ),
            value_rows,
        ),
    ]


def _first_protocol(recipe: Json) -> str:
    """Of version 0.1.0, whose card holds no text of it."""
    return (
        f"All layers from ImageNet weights, batch normalisation frozen. Adam, learning rate "
        f"{recipe['learning_rate']}, halved after {recipe['plateau_epochs']} epochs without a "
        f"better validation AUC, stopped after {recipe['patience']}, at most {recipe['epochs']}; "
        f"batch {recipe['batch_size']}, weighted binary cross-entropy, flips, rotation ≤ "
        f"{recipe['augmentation']['rotation_degrees']:.0f}°, shear, zoom; seed {recipe['seed']}."
    )


def _split(split: Json) -> str:
    how = f"split by {split['by']} (digest `{split['digest'][:16]}…`)"
    if "folds" in split:
        return (
            f"{split['train']} radiographs, all of them for training. The figures are of "
            f"{split['folds']}-fold cross-validation by the same recipe, {how}: each radiograph "
            "was scored by a network that had not seen it, and that learned from fewer."
        )
    return (
        f"{split['train']} radiographs for training, {split['validation']} for validation, "
        f"{split['test']} for test, {how}."
    )


def _subgroups(tables: Mapping[str, Sequence[Json]]) -> list[str]:
    """AUC by region, view and hardware, where measured."""
    if not tables:
        return []
    rows = [
        f"| {name}: {line['value']} | {line['radiographs']} | {line['fractured']} | "
        f"{_plain(line['estimate']) if line['estimate'] else line['remark']} |"
        for name, lines in tables.items()
        for line in lines
    ]
    heads = ["| subgroup | radiographs | fractured | AUC |", "| --- | --- | --- | --- |"]
    return ["\n".join([*heads, *rows])]


def _explanation(figures: Json) -> list[str]:
    """Of saliency maps against fracture boxes, where measured."""
    if not figures:
        return []
    rows = [f"| {name} | {_plain(estimate)} |" for name, estimate in figures.items()]
    return [
        "Saliency maps of fractured radiographs against their fracture boxes:",
        "\n".join(["| figure | mean |", "| --- | --- |", *rows]),
    ]


def _figures(metrics: Json) -> str:
    return _table(("", *part_names(metrics)), figure_rows(metrics))


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(share: Share, digits: int = 0) -> str:
    if not digits and share.value >= _NEARLY_ALL:
        return "> 99 %"
    return _percent(asdict(share), digits)


def _plain(estimate: Json) -> str:
    return f"{estimate['value']:.2f} ({estimate['low']:.2f}–{estimate['high']:.2f})"


def _percent(estimate: Json, digits: int = 0) -> str:
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:.{digits}f} % ({low:.{digits}f}–{high:.{digits}f})"
