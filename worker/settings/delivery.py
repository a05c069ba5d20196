"""[delivery]: how results are sent, whichever destination."""

from pydantic import Field, model_validator

from worker.settings.fields import AETitle, PositiveSeconds, Section


class DeliverySettings(Section):
    """How results are sent."""

    calling_ae_title: AETitle = Field(
        "FRACTURESCREEN", description="AE title that we call destinations with."
    )
    maximum_tries: int = Field(10, ge=1, description="Tries before a delivery ends FAILED.")
    first_backoff_s: PositiveSeconds = Field(
        30.0, description="Seconds before the second try; doubled for each further one."
    )
    maximum_backoff_s: PositiveSeconds = Field(
        600.0, description="Longest pause between two tries, in seconds; jitter comes on top."
    )
    jitter: float = Field(
        0.2, ge=0, le=0.9, description="Share by which a pause is made longer or shorter at random."
    )
    timeout_s: PositiveSeconds = Field(
        30.0, description="Seconds to wait for a destination's answer."
    )
    lease_s: PositiveSeconds = Field(
        600.0,
        description="Seconds that a worker may take for a study's results before another one gets "
        "them; at least four times timeout_s.",
    )
    requeue_after_s: PositiveSeconds = Field(
        120.0, description="Seconds after which a queued delivery that nobody took is queued again."
    )
    failures_to_open: int = Field(
        3,
        ge=1,
        description="Associations with a destination that fail in a row before only one study's "
        "results at a time are tried there (circuit breaker).",
    )
    confirmation_timeout_s: PositiveSeconds = Field(
        900.0,
        description="Seconds to wait for a storage commitment result before asking again.",
    )
    confirmation_tries: int = Field(
        10, ge=1, description="Times a confirmation is asked for before the delivery ends FAILED."
    )

    @model_validator(mode="after")
    def _check_lease(self) -> "DeliverySettings":
        if self.lease_s < 4 * self.timeout_s:
            raise ValueError(
                f"lease_s {self.lease_s:g} must be at least four times timeout_s "
                f"{self.timeout_s:g}: a worker must not lose its lease while it waits for an answer"
            )
        return self
