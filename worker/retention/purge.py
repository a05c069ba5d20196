"""Purging by the settings: what would go, and what goes. `db.retention` decides what may."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from db.retention import FILES, Amount, Kind, Retention, Rule
from worker.settings import RetentionSettings


def rules_of(settings: RetentionSettings) -> list[Rule]:
    """One per kind that is not kept for ever."""
    days = {
        Kind.INSTANCES: settings.instances_days,
        Kind.RESULTS: settings.results_days,
        Kind.SUPERSEDED_RESULTS: settings.superseded_results_days,
        Kind.SHADOW_SCORES: settings.shadow_scores_days,
        Kind.WEB_SESSIONS: settings.web_sessions_days,
        Kind.SWEEP_ROWS: settings.sweep_rows_days,
    }
    return [
        Rule(kind, timedelta(days=age), settings.reviewed_instances)
        for kind, age in days.items()
        if age
    ]


def what_would_go(settings: RetentionSettings, retention: Retention) -> Mapping[Kind, Amount]:
    """Of each kind that has a rule; changes nothing."""
    return {rule.kind: retention.amount(rule) for rule in rules_of(settings)}


def purge(
    settings: RetentionSettings, retention: Retention, data_folder: Path, actor: str
) -> Mapping[Kind, Amount]:
    """Purge every kind that has a rule; how much went.

    Begins with the files that a run before gave up and could not remove. OSError: a file cannot be
    removed; it stays given up, and the next run tries again.
    """
    _remove_doomed(retention, data_folder)
    gone = {}
    for rule in rules_of(settings):
        total = Amount()
        for amount in _steps(retention, rule, actor):
            total += amount
            if rule.kind in FILES:
                _remove_doomed(retention, data_folder)
        gone[rule.kind] = total
    return gone


def _steps(retention: Retention, rule: Rule, actor: str) -> Iterator[Amount]:
    step = retention.purge(rule, actor)
    while step is not None:
        yield step.amount
        step = retention.purge(rule, actor, step.after)


def _remove_doomed(retention: Retention, data_folder: Path) -> None:
    root = data_folder.resolve()

    def remove(path: str) -> None:
        _within(root, path).unlink(missing_ok=True)

    last = retention.remove_doomed(remove)
    while last is not None:
        last = retention.remove_doomed(remove, last)


def _within(root: Path, path: str) -> Path:
    """OSError: not a file of the data folder; a ledger that names such a one was tampered with."""
    file = root / path
    if not file.resolve().is_relative_to(root):
        raise OSError(f"{path} does not lie in the data folder: nothing was removed")
    return file
