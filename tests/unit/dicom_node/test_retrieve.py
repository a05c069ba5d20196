"""What the final answer to a C-MOVE or C-GET is taken to say (PS3.4 C.4.2.1 and C.4.3.1)."""

from collections.abc import Iterator

import pytest
from pydicom import Dataset

from dicom_node.errors import AssociationFailed
from dicom_node.instance import RemoteAE
from dicom_node.retrieve import Retrieved, _retrieved
from dicom_node.retry_classes import TransportProblem

ARCHIVE = RemoteAE("ARCHIVE", "pacs", 104)


def answers(*statuses: int | None, **counts: int) -> Iterator[tuple[Dataset, None]]:
    """Answers in their order; the counts stand in the last one."""
    made = []
    for status in statuses:
        answer = Dataset()
        if status is not None:
            answer.Status = status
        made.append(answer)
    for kind, count in counts.items():
        setattr(made[-1], f"NumberOf{kind}Suboperations", count)
    return iter([(answer, None) for answer in made])


def test_success_after_pending_answers() -> None:
    told = _retrieved(answers(0xFF00, 0xFF00, 0x0000, Completed=2, Failed=0, Warning=0), ARCHIVE)
    assert told == Retrieved(2, 0, 0, "")


def test_a_success_that_counts_failures_is_none() -> None:
    told = _retrieved(answers(0x0000, Completed=1, Failed=1, Warning=0), ARCHIVE)
    assert told.problem == "ARCHIVE at pacs:104: status 0x0000; 1 failed, 1 completed"


def test_a_warning_is_told_with_its_counts() -> None:
    told = _retrieved(answers(0xB000, Completed=3, Failed=0, Warning=1), ARCHIVE)
    assert (told.completed, told.warned) == (3, 1)
    assert told.problem == (
        "ARCHIVE at pacs:104: status 0xB000, some sub-operations failed or met with warnings; "
        "0 failed, 3 completed"
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA801, "it does not know the move destination"),
        (0xA702, "it cannot perform sub-operations"),
        (0x0124, "it does not allow us to"),
        (0xC123, "status 0xC123; 0 failed"),
    ],
)
def test_a_failure_is_told_in_words_where_the_standard_has_some(status: int, words: str) -> None:
    assert words in _retrieved(answers(status), ARCHIVE).problem


def test_silence_and_an_end_without_a_final_answer_are_failures() -> None:
    with pytest.raises(AssociationFailed, match="gave no answer") as silent:
        _retrieved(answers(0xFF00, None), ARCHIVE)
    assert silent.value.problem is TransportProblem.TIMED_OUT
    with pytest.raises(AssociationFailed, match="no final answer"):
        _retrieved(answers(0xFF00), ARCHIVE)
