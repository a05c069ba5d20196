"""Who made a result object and which object it is; shared by every builder."""

from dataclasses import dataclass, fields

RESULT_SERIES_NUMBERS = {"secondary_capture": 7701, "encapsulated_pdf": 7702}
"""Series Number (0020,0011) per kind of result: a high block, clear of a modality's own series."""


@dataclass(frozen=True, slots=True)
class ResultIdentity:
    """Identity of one result object and of the model behind it.

    UIDs come from `uids.py`; `device_uid` changes with each retraining. Each text is at most 64
    characters of ASCII (LO, PS3.5 6.2), so that it holds in whatever character set the patient's
    name is in; ValueError if not.
    """

    series_instance_uid: str
    sop_instance_uid: str
    series_number: int
    instance_number: int
    series_description: str
    model_name: str
    model_version: str
    device_uid: str
    software_version: str

    def __post_init__(self) -> None:
        """Check the texts."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (len(value) > 64 or not value.isascii()):
                raise ValueError(f"{field.name} {value!r}: at most 64 characters of ASCII")
