"""[limits]: what an instance may take before and while it is decoded."""

from pydantic import Field

from worker.settings.fields import PositiveSeconds, Section


class LimitSettings(Section):
    """Caps that are checked before pixels are decoded."""

    maximum_rows: int = Field(8192, ge=1, description="Rows of an image.")
    maximum_columns: int = Field(8192, ge=1, description="Columns of an image.")
    maximum_frames: int = Field(64, ge=1, description="Frames of an instance.")
    maximum_instance_mib: int = Field(
        512, ge=1, description="Size of an instance, as received and as decoded, in MiB."
    )
    decoder_timeout_s: PositiveSeconds = Field(
        60.0,
        description="Seconds that reading one instance may take; shorter than study.lease_s.",
    )
    decoder_memory_mib: int = Field(
        4096, ge=512, description="Address space that reading one instance may take, in MiB."
    )
