"""What a source has against what the ledger has: the reason to leave a study out, or what to do.

Pure. The reasons are few and fixed, so that they can be counted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from db.outcomes import Outcome
from db.states import StudyState
from db.sweep_records import KnownStudy
from dicom_node.query import FoundSeries
from dicom_node.retrieve import Wanted
from dicom_node.sop_classes import REPORT_MODALITIES
from dicom_node.stated_body_part import SiteWords, is_covered, read_words
from models.prediction import ModelIdentity
from worker.sweeps.selection import Selection

NO_RADIOGRAPH = "no series of the modalities wanted"
OTHER_BODY_PART = "body part not wanted, or not what the model is for"
OTHER_INSTITUTION = "another institution"
EMPTY = "no instance"
UNDER_WAY = "being screened already"
SCREENED = "screened by this model already"
MODEL_NEW_ENOUGH = "screened by a model that is new enough"
NOT_SINCE = "screened before the time wanted"
NOT_NEGATIVE = "outcome not negative"
NEVER_SCREENED = "never screened"

_UNDER_WAY = (StudyState.RECEIVING, StudyState.READY, StudyState.QUEUED, StudyState.SCREENING)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Not for this sweep."""

    reason: str


@dataclass(frozen=True, slots=True)
class ScreenAgain:
    """All of it is here."""


@dataclass(frozen=True, slots=True)
class Taken:
    """All of it came by this very sweep, before it could note that."""

    instances: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Some or all of it is to be fetched."""

    wanted: tuple[Wanted, ...]
    """What is asked for."""
    everything: frozenset[str]
    """SOP Instance UIDs of all that are wanted of the study, those that are here among them."""
    missing: frozenset[str]


Decision = Excluded | ScreenAgain | Taken | Fetch


def wanted_series(
    series: Sequence[FoundSeries],
    selection: Selection,
    model_body_parts: Collection[str],
    own_series: Collection[str],
    site_words: SiteWords | None = None,
) -> Excluded | list[FoundSeries]:
    """The series that may hold radiographs for the model.

    What a source does not tell of a series excludes nothing, nor does an unknown word for its body
    part: reading it will. Left out is what surely is no limb; where the selection names body parts,
    all that surely is another one.

    Args:
        model_body_parts: upper-case, that the model is for; none: any.
        own_series: Series Instance UIDs of our own results.
        site_words: the site's own words for body parts.
    """
    left = [one for one in series if one.series_instance_uid not in own_series]
    left = [one for one in left if not one.modality or one.modality in selection.modalities]
    if not left:
        return Excluded(NO_RADIOGRAPH)
    left = [one for one in left if _may_be_of(one, selection, model_body_parts, site_words)]
    if not left:
        return Excluded(OTHER_BODY_PART)
    sought = selection.institution.casefold()
    left = [
        one
        for one in left
        if not sought or not one.institution_name or sought in one.institution_name.casefold()
    ]
    return left or Excluded(OTHER_INSTITUTION)


def is_reported(series: Sequence[FoundSeries], own_series: Collection[str]) -> bool:
    """Whether a source has a report of a study: a series of SR or DOC that is none of ours.

    Asked of the series: Modalities In Study names DOC for our own reports, too.
    """
    return any(
        one.modality in REPORT_MODALITIES and one.series_instance_uid not in own_series
        for one in series
    )


def what_to_do(
    study_instance_uid: str,
    instances: Mapping[str, Collection[str]],
    known: KnownStudy | None,
    model: ModelIdentity,
    selection: Selection,
    sweep_id: int,
) -> Decision:
    """What becomes of a study that a source has.

    Args:
        instances: Series Instance UID → SOP Instance UIDs of the series wanted.
        known: what the ledger has of it.
        model: the present one.
        sweep_id: the sweep that asks.
    """
    everything = frozenset(uid for uids in instances.values() for uid in uids)
    if not everything:
        return Excluded(EMPTY)
    here = known.sop_instance_uids if known is not None else frozenset()
    missing = everything - here
    wanted = tuple(_wanted(study_instance_uid, instances, missing))
    fetch = Fetch(wanted, everything, missing)
    if known is not None and known.sweep_id == sweep_id:
        return fetch if missing else Taken(len(everything))
    if known is not None and known.state in _UNDER_WAY:
        return Excluded(UNDER_WAY)
    is_new = known is None or not everything <= known.looked_at
    if reason := _why_not(known, model, selection, is_new=is_new):
        return Excluded(reason)
    return fetch if missing else ScreenAgain()


def why_not_again(known: KnownStudy, model: ModelIdentity, selection: Selection) -> str:
    """Why a study of the ledger is not screened again; "": it is."""
    if known.state in _UNDER_WAY:
        return UNDER_WAY
    return _why_not(known, model, selection, is_new=not known.model_digest)


def _why_not(
    known: KnownStudy | None, model: ModelIdentity, selection: Selection, *, is_new: bool
) -> str:
    asks_for_screened = bool(
        selection.model_older_than or selection.since or selection.only_negative
    )
    if known is None or known.outcome is None:
        return NEVER_SCREENED if asks_for_screened else ""
    if selection.only_negative and known.outcome is not Outcome.NEGATIVE:
        return NOT_NEGATIVE
    if selection.since and known.finished_at and known.finished_at < selection.since:
        return NOT_SINCE
    if selection.model_older_than:
        older = is_older(known.model_version, selection.model_older_than)
        return "" if older else MODEL_NEW_ENOUGH
    if known.model_digest == model.digest and not is_new:
        return SCREENED
    return ""


def is_older(version: str, than: str) -> bool:
    """Whether a model's version is a lower one; one that is no version (PEP 440) is."""
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return version != than


def _may_be_of(
    series: FoundSeries,
    selection: Selection,
    model_body_parts: Collection[str],
    site_words: SiteWords | None,
) -> bool:
    stated = read_words(
        series.body_part_examined,
        site_words,
        series_text=series.description,
        study_text=series.study_description,
    )
    term = series.body_part_examined
    if selection.body_parts:
        is_known = stated.limbs or stated.surely_elsewhere
        return not is_known or is_covered(stated, term, selection.body_parts)
    if not stated.surely_elsewhere or not model_body_parts:
        return True
    return is_covered(stated, term, model_body_parts)


def _wanted(
    study_instance_uid: str, instances: Mapping[str, Collection[str]], missing: frozenset[str]
) -> list[Wanted]:
    wanted: list[Wanted] = []
    for series, uids in instances.items():
        absent = sorted(missing.intersection(uids))
        if len(absent) == len(uids):
            wanted.append(Wanted(study_instance_uid, series))
        elif absent:
            wanted.append(Wanted(study_instance_uid, series, tuple(absent)))
    return wanted
