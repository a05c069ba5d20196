"""What a receiver's answer, or its silence, means for the next attempt. Every sender gives it."""

from dataclasses import dataclass

from dicom_node.retry_classes import TRANSPORT_RETRY, UNREACHABLE, RetryClass, TransportProblem

MOST_BYTES = 65536
"""Read of one answer, and of what comes beside it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one object fared.

    `status`: 0 for taken, else the protocol's own number (DIMSE or HTTP status; HL7 has none: 1);
    None: there was no answer, and `problem` tells why. `error` is free of what the receiver wrote,
    which may quote patient data; "" if it was taken without a remark.
    """

    status: int | None
    retry_class: RetryClass
    error: str = ""
    problem: TransportProblem | None = None
    pause_s: float | None = None
    """Seconds for which the receiver asks to be left alone; None: it does not."""

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.retry_class in (RetryClass.SUCCESS, RetryClass.WARNING)

    @property
    def unreachable(self) -> bool:
        """Whether the receiver as a whole could not be reached: nothing else would arrive."""
        return self.problem in UNREACHABLE


TAKEN = Answer(0, RetryClass.SUCCESS)


def no_answer(problem: TransportProblem, error: str) -> Answer:
    """There was none, for this reason."""
    return Answer(None, TRANSPORT_RETRY[problem], error, problem)
