"""[retention]: how long what is here only for us is kept; `fracture-screen purge` acts on it."""

from pydantic import Field

from worker.settings.fields import Section


class RetentionSettings(Section):
    """Days for which each kind is kept; 0: for ever.

    By default nothing goes that anybody could miss: whether a radiograph may go is the hospital's
    to say, and a disk that fills up is an alarm, while a file that is gone is gone.
    """

    instances_days: int = Field(
        0,
        ge=0,
        description="Days after which the files of received instances go, once their study is "
        "SCREENED and all of its results are delivered; 0: never.",
    )
    reviewed_instances: bool = Field(
        False,
        description="Whether instances go, too, that readers reviewed: the next training set is "
        "made of them.",
    )
    results_days: int = Field(
        0,
        ge=0,
        description="Days after which the files of results go that every destination has; "
        "0: never. The worklist then shows their study without heatmap and report.",
    )
    superseded_results_days: int = Field(
        0,
        ge=0,
        description="Days after which the files of results go whose analysis a later one "
        "replaced; 0: never.",
    )
    shadow_scores_days: int = Field(
        0,
        ge=0,
        description="Days after which the scores of shadow models go that were promoted or "
        "retired; 0: never.",
    )
    web_sessions_days: int = Field(
        7, ge=0, description="Days after which sign-ins that ended go; 0: never."
    )
    sweep_rows_days: int = Field(
        0,
        ge=0,
        description="Days after which the studies of a sweep that is over go, without which its "
        "report cannot be written any more; 0: never.",
    )
