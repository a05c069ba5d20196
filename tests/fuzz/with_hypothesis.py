"""Drives a target with hypothesis: `python -m tests.fuzz.with_hypothesis --target object ...`.

What it finds is shrunk. Prints its figures as JSON.
"""

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.session import Session, arguments, silence
from tests.fuzz.strategies import cases

_CASES_PER_ROUND = 2000
"""A finding ends its round only; and hypothesis gets slow when it remembers too much."""


def drive(session: Session, target: str, runs: int, first_seed: int) -> None:
    """Run at least `runs` cases, in rounds with seeds of their own."""
    strategy = cases(target, session.seeds)
    number = 0
    while session.cases < runs:
        _run_round(
            session, strategy, min(_CASES_PER_ROUND, runs - session.cases), first_seed + number
        )
        number += 1


def _run_round(session: Session, strategy, examples: int, its_seed: int) -> None:  # type: ignore[no-untyped-def]
    @seed(its_seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(strategy)
    def round_of_cases(case: bytes) -> None:
        session.run(case)

    try:
        round_of_cases()
    except Exception:  # also hypothesis's own, when a case fails and then does not
        session.keep_failure()


def main() -> None:
    chosen = arguments()
    silence()
    session = Session(chosen.target, chosen.findings)
    drive(session, chosen.target, chosen.runs, chosen.seed * 10_000)
    print(session.result(), flush=True)


if __name__ == "__main__":
    main()
