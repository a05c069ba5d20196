"""What a model must show before it may speak: pure functions of what was measured."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundle import ModelBundle
from training.statistics.calibration import Binning, calibration_error
from training.statistics.figures import auc
from worker.model_updates.evaluation import (
    AT_FLAG,
    EvaluationSet,
    Figure,
    Floats,
    Scores,
    paired_loss,
)
from worker.settings import PromotionSettings

_MAPS_COMPARED = 200


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition with the figures that decided it."""

    name: str
    passed: bool
    told: str
    figures: dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A model with what it says of the evaluation set."""

    bundle: ModelBundle
    scores: Scores


def gates(
    limits: PromotionSettings, of: EvaluationSet, champion: Contender, candidate: Contender
) -> list[Gate]:
    """All gates, in the order in which they are shown."""
    return [
        _locked(limits, of),
        _kept_from_training(limits, of, candidate.bundle),
        _enough(limits, of),
        _scope(champion.bundle, candidate.bundle),
        _keeps(limits, candidate.scores),
        *_none_below(limits, of, champion.scores, candidate.scores),
        _calibrated(limits, of, candidate.scores),
        _quick(limits, champion.scores, candidate.scores),
        *_explained(limits, candidate.scores),
    ]


def _locked(limits: PromotionSettings, of: EvaluationSet) -> Gate:
    expected = limits.evaluation_sha256
    told = f"set {of.digest[:16]}…, {'pinned' if expected else 'none pinned'}"
    if expected and expected != of.digest:
        told = f"set {of.digest[:16]}…, but promotion.evaluation_sha256 is {expected[:16]}…"
    return Gate("evaluation set", expected in ("", of.digest), told, {"digest": of.digest})


def _kept_from_training(
    limits: PromotionSettings, of: EvaluationSet, candidate: ModelBundle
) -> Gate:
    """The test part of the candidate's own split was never trained on; of a set without a split
    only whoever pinned it can know."""
    stated = candidate.card.get("training", {}).get("split", {}).get("digest", "")
    if of.split_digest:
        passed = of.split_digest == stated
        told = "test part of the candidate's own split" if passed else "split of another training"
    else:
        passed = bool(limits.evaluation_sha256)
        told = "as pinned" if passed else "not known: give --split, or pin a set kept apart"
    figures = {"split_of_set": of.split_digest, "split_of_candidate": stated}
    return Gate("kept from training", passed, told, figures)


def _enough(limits: PromotionSettings, of: EvaluationSet) -> Gate:
    count, fractured = len(of.examples), int(of.fractured.sum())
    passed = limits.minimum_fractured <= fractured < count
    told = f"{fractured} fractured of {count} (at least {limits.minimum_fractured})"
    return Gate("enough radiographs", passed, told, {"radiographs": count, "fractured": fractured})


def _scope(champion: ModelBundle, candidate: ModelBundle) -> Gate:
    lost = sorted(champion.body_parts - candidate.body_parts)
    told = f"no longer covers {', '.join(lost)}" if lost else "covers all that the champion does"
    return Gate("scope", not lost, told, {"lost": lost})


def _keeps(limits: PromotionSettings, candidate: Scores) -> Gate:
    """What a model rejects is flagged by nobody, so specificity alone would reward it."""
    share, most = float(candidate.outside_scope.mean()), limits.maximum_outside_scope
    told = f"rejects {share:.3f} of the radiographs (≤ {most:g})"
    return Gate("keeps radiographs", share <= most, told, {"rejected": share, "limit": most})


def _none_below(
    limits: PromotionSettings, of: EvaluationSet, champion: Scores, candidate: Scores
) -> list[Gate]:
    """No figure may be below the champion's by more than its margin."""
    flags, probabilities = (
        (champion.possible, candidate.possible),
        (champion.probabilities, candidate.probabilities),
    )
    return [
        _not_below(
            "sensitivity", AT_FLAG["sensitivity"], limits.maximum_sensitivity_loss, of, flags
        ),
        _not_below(
            "specificity", AT_FLAG["specificity"], limits.maximum_specificity_loss, of, flags
        ),
        _not_below("AUC", auc, limits.maximum_auc_loss, of, probabilities),
    ]


def _not_below(
    name: str, figure: Figure, most: float, of: EvaluationSet, values: tuple[Floats, Floats]
) -> Gate:
    before, after = (figure(one, of.fractured) for one in values)
    loss = paired_loss(figure, *values, of)
    told = f"{before:.3f} → {after:.3f}, loss at most {loss.high:+.3f} (≤ {most:.3f})"
    figures = {"champion": before, "candidate": after, "loss": loss.value, "loss_bound": loss.high}
    return Gate(name, loss.high <= most, told, {**figures, "limit": most})


def _calibrated(limits: PromotionSettings, of: EvaluationSet, candidate: Scores) -> Gate:
    error = calibration_error(candidate.probabilities, of.fractured, Binning.EQUAL_MASS)
    most = limits.maximum_calibration_error
    figures = {"calibration_error": error, "limit": most}
    return Gate("calibration", error <= most, f"error {error:.3f} (≤ {most:.3f})", figures)


def _quick(limits: PromotionSettings, champion: Scores, candidate: Scores) -> Gate:
    before, after = (float(np.median(scores.seconds)) for scores in (champion, candidate))
    ratio, most = after / before, limits.maximum_slowdown
    told = f"{1000 * before:.0f} → {1000 * after:.0f} ms per radiograph, {ratio:.2f} × (≤ {most:g})"
    figures = {"champion_s": before, "candidate_s": after, "ratio": ratio, "limit": most}
    return Gate("latency", ratio <= most, told, figures)


def _explained(limits: PromotionSettings, candidate: Scores) -> list[Gate]:
    flagged = candidate.possible > 0
    if np.count_nonzero(flagged) < 2:
        return [Gate("explanation", False, "fewer than two radiographs were flagged", {})]
    spread = float(np.median(candidate.spread[flagged]))
    likeness = map_likeness(candidate.maps[flagged])
    return [
        Gate(
            "explanation is local",
            spread <= limits.maximum_map_spread,
            f"marks {spread:.2f} of the radiograph (≤ {limits.maximum_map_spread:g})",
            {"median_spread": spread, "limit": limits.maximum_map_spread},
        ),
        Gate(
            "explanation follows the radiograph",
            likeness <= limits.maximum_map_likeness,
            f"maps correlate {likeness:.2f} (≤ {limits.maximum_map_likeness:g})",
            {"mean_correlation": likeness, "limit": limits.maximum_map_likeness},
        ),
    ]


def map_likeness(maps: npt.NDArray[np.float64]) -> float:
    """Mean correlation between maps (n, h, w) of different radiographs; a constant one counts 1."""
    flat = maps[:_MAPS_COMPARED].reshape(min(len(maps), _MAPS_COMPARED), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    varied = norms > 1e-9
    unit = centred[varied] / norms[varied, np.newaxis]
    correlations = unit @ unit.T
    count, all_pairs = len(unit), len(flat) * (len(flat) - 1)
    of_varied = float(correlations.sum() - count)
    return (of_varied + all_pairs - count * (count - 1)) / all_pairs
