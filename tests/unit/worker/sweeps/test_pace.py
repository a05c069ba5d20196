"""A source that slows down is asked less often, and again at full pace when it is quick."""

from itertools import accumulate

from worker.sweeps.pace import LONGEST_PAUSE_S, Pace


def pauses(*answers: float) -> list[float]:
    paces = accumulate(answers, Pace.after, initial=Pace(slow_answer_s=5))
    return [pace.pause_s for pace in paces][1:]


def test_quick_answers_need_no_pause() -> None:
    assert pauses(0.1, 4.9, 0.2) == [0, 0, 0]


def test_pauses_double_while_answers_are_slow_and_halve_once_they_are_quick() -> None:
    assert pauses(5, 6, 7, 1, 1, 1, 1) == [1, 2, 4, 2, 1, 0, 0]


def test_the_longest_pause_is_five_minutes() -> None:
    assert max(pauses(*[60.0] * 20)) == LONGEST_PAUSE_S == 300
