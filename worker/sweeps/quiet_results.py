"""Which results of a sweep are made and sent."""

from collections.abc import Collection

from db.outcomes import Outcome


def are_wanted(
    outcome: Outcome, delivered_outcome: Outcome | None, wanted: Collection[Outcome]
) -> bool:
    """Whether results are made and sent.

    Args:
        delivered_outcome: of the analysis before, if results were made of it; None: there were
            none. Where the PACS has results that say something else, silence would leave them
            standing.
        wanted: outcomes whose results always are.
    """
    return outcome in wanted or (delivered_outcome is not None and outcome != delivered_outcome)
