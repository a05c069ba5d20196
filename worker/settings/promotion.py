"""[promotion]: what a model must show before it may speak."""

from pydantic import Field

from worker.settings.fields import Section


class PromotionSettings(Section):
    """Gates of `model promote`, each against the champion on the same labelled radiographs.

    A loss is tested at the upper end of its 95 % interval: what is not shown has not passed.
    """

    evaluation_sha256: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description="Digest of the one evaluation set that promotions are decided on, as `model "
        "compare` prints it; empty: any, and its digest is kept in the audit trail.",
    )
    minimum_fractured: int = Field(
        50, ge=1, description="Fractured radiographs that the evaluation set must hold."
    )
    maximum_outside_scope: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the evaluation set that it may reject as outside its scope.",
    )
    maximum_sensitivity_loss: float = Field(
        0.05,
        ge=0,
        le=1,
        description='Loss of sensitivity at "fracture possible" that is tolerated.',
    )
    maximum_specificity_loss: float = Field(
        0.10,
        ge=0,
        le=1,
        description='Loss of specificity at "fracture possible" that is tolerated.',
    )
    maximum_auc_loss: float = Field(
        0.05, ge=0, le=1, description="Loss of area under the ROC curve that is tolerated."
    )
    maximum_calibration_error: float = Field(
        0.10, ge=0, le=1, description="Expected calibration error that is tolerated."
    )
    maximum_slowdown: float = Field(
        2.0, gt=0, description="Time per radiograph that is tolerated, in times of the champion's."
    )
    maximum_map_spread: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a flagged radiograph that its heatmap may mark (at half its height), "
        "in the median: one that marks everything explains nothing.",
    )
    maximum_map_likeness: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Mean correlation between heatmaps of different flagged radiographs: maps that "
        "do not depend on the radiograph explain nothing.",
    )
