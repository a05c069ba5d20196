"""Which process is killed at which step: drawn from a seed, each step in turn, delays at random."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """A moment in the life of a study; the value is the process that is killed there."""

    RECEIVE_SENDING = ("receive: the peer has begun to send", "listener")
    RECEIVE_SPOOLING = ("receive: bytes stand in tmp/", "listener")
    RECEIVE_SPOOLED = ("receive: renamed into incoming/", "listener")
    RECEIVE_ANSWERED = ("receive: the first instance is answered", "listener")
    DISPATCH_REGISTERED = ("dispatch: registered, not yet quiet", "dispatcher")
    DISPATCH_QUEUED = ("dispatch: ready or queued", "dispatcher")
    SCREEN_CLAIMED = ("work: claimed by a worker", "triage worker")
    SCREEN_WRITTEN = ("work: result files on disk", "triage worker")
    SCREEN_CONCLUDED = ("work: concluded", "triage worker")
    DELIVER_CLAIMED = ("delivery: claimed by a worker", "delivery worker")
    DELIVER_STORED = ("delivery: stored in the PACS, not yet answered", "delivery worker")
    DELIVER_ANSWERED = ("delivery: answered by the PACS", "delivery worker")
    POWER_CUT = ("all processes at once, at any moment", "")

    @property
    def victim(self) -> str:
        """Name of the process; empty: all of them."""
        return self.value[1]

    @property
    def text(self) -> str:
        """What has just happened."""
        return self.value[0]


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: at this step of this round's study, `delay_s` after it was reached."""

    number: int
    step: Step
    delay_s: float
    instances: int
    """How many instances this round sends."""
    late: bool
    """Whether they belong to the study of an earlier round, as a new revision."""


# Loading the model takes seconds and the other steps do not: fewer kills of the triage worker.
_RARE = {Step.SCREEN_CLAIMED, Step.SCREEN_WRITTEN, Step.SCREEN_CONCLUDED, Step.POWER_CUT}
_RARE_EVERY = 3


def schedule(seed: int, kills: int) -> Iterator[Kill]:
    """`kills` kills; every step comes at least once in any 40 of them."""
    chance = random.Random(seed)
    number, cycle = 0, 0
    while number < kills:
        steps = [step for step in Step if step not in _RARE or cycle % _RARE_EVERY == 0]
        chance.shuffle(steps)
        for step in steps[: kills - number]:
            yield Kill(
                number=number,
                step=step,
                delay_s=chance.choice((0.0, chance.uniform(0, 0.02), chance.uniform(0, 0.3))),
                instances=chance.randint(1, 2),
                late=number > 3 and chance.random() < 0.2,
            )
            number += 1
        cycle += 1
