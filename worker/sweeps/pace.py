"""How fast a source is asked: it tells by its answers whether it is busy. Pure."""

from dataclasses import dataclass, replace

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds to wait before the next request; 0 while the source answers quickly."""

    slow_answer_s: float
    pause_s: float = 0.0

    def after(self, answer_s: float) -> "Pace":
        """The pace after an answer that took so long."""
        if answer_s >= self.slow_answer_s:
            return replace(self, pause_s=min(max(FIRST_PAUSE_S, 2 * self.pause_s), LONGEST_PAUSE_S))
        shorter = self.pause_s / 2
        return replace(self, pause_s=shorter if shorter >= FIRST_PAUSE_S else 0.0)
