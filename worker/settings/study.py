"""[study]: from the first instance to a screening."""

from pydantic import Field

from worker.settings.fields import PositiveSeconds, Section


class StudySettings(Section):
    """When a study is taken to be complete, and how often its screening is tried."""

    quiet_period_s: PositiveSeconds = Field(
        5.0, description="Seconds without a new instance after which a study is screened."
    )
    maximum_attempts: int = Field(
        3, ge=1, description="Screenings begun before a study ends FAILED."
    )
    lease_s: PositiveSeconds = Field(
        120.0,
        description="Seconds a worker may take for one study before another one gets it; "
        "longer than the longest screening.",
    )
    requeue_after_s: PositiveSeconds = Field(
        300.0, description="Seconds after which a queued study that nobody took is queued again."
    )
    poll_interval_s: PositiveSeconds = Field(
        0.25,
        description="Seconds between two looks of the dispatcher at the ledger "
        "while something is unfinished.",
    )
