"""Which BodyPartExamined terms a model is for, by the data that it learned from."""

from training.data.example import LabelledFolder

LIMBS = (
    "ANKLE", "ARM", "CALCANEUS", "CLAVICLE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT",
    "FOREARM", "HAND", "HIP", "HUMERUS", "KNEE", "LEG", "LOWERLIMB", "LOWER LEG", "PATELLA",
    "RADIUS", "SCAPULA", "SHOULDER", "THIGH", "THUMB", "TIBIA", "TOE", "ULNA", "UPPER ARM",
    "UPPERLIMB", "WRIST",
)  # fmt: skip
"""Terms (PS3.16 annex L) of the limbs, hips and shoulders."""


def body_parts(data: LabelledFolder) -> tuple[str, ...]:
    """Those of the layout; else the regions that are such a term; else, unknown, all of them."""
    if data.body_parts:
        return data.body_parts
    regions = {example.region.upper() for example in data.examples}
    return tuple(part for part in LIMBS if part in regions) or LIMBS
