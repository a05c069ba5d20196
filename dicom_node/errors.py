"""The errors of this package.

DicomNodeError
├── UnreadableInstance   cannot be parsed
├── MalformedInstance    refused on reception; carries the DIMSE status
├── SpoolError           could not be stored durably
├── ReadingFailed        reading took too much time or memory, or its process crashed
├── TlsSetupError        the listener's certificate is unusable (defined in listener_tls.py)
├── AssociationFailed    no association, or it broke
│   └── TooManyAnswers   more than can be had by one query
└── NotEligible          readable, but not to be analysed (defined in radiograph.py)
"""

from dicom_node.retry_classes import TransportProblem

DATA_SET_MISMATCH = 0xA900
"""The data set is of another SOP class or instance than the request (PS3.4 table B.2-1)."""

CANNOT_UNDERSTAND = 0xC000
"""The data set cannot be parsed or identified (PS3.4 table B.2-1)."""


class DicomNodeError(Exception):
    """Root of every error that this package raises on purpose."""


class UnreadableInstance(DicomNodeError):
    """The file or bytes cannot be parsed as a DICOM instance or as a picture."""


class MalformedInstance(DicomNodeError):
    """The instance is refused on reception.

    `status` is the DIMSE status to answer with (PS3.4 table B.2-1); the message is short enough
    and free of patient data, so that it can travel as Error Comment (0000,0902).
    """

    def __init__(self, message: str, *, status: int = CANNOT_UNDERSTAND) -> None:
        super().__init__(message)
        self.status = status


class SpoolError(DicomNodeError):
    """The bytes could not be made durable; nothing of them was left in the spool."""


class ReadingFailed(DicomNodeError):
    """Reading or decoding crashed, hung or took more memory than it may; no patient data in it.

    The message is a sentence that readers see; `kind` names the error in the reading process, for
    the log; "": there was none.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class AssociationFailed(DicomNodeError):
    """No association with the remote AE could be had, or it broke; `problem` tells the kind."""

    def __init__(self, message: str, problem: TransportProblem = TransportProblem.BROKEN) -> None:
        super().__init__(message)
        self.problem = problem


class TooManyAnswers(AssociationFailed):
    """The remote AE has, or may have, more answers to a query than it gives at a time."""
