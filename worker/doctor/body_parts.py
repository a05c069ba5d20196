"""The words for body parts in the ledger: whether one of them is unknown."""

from db.radiograph_counts import RadiographCounts
from worker.body_part_words import Understanding, understand_counted
from worker.doctor.database import missing_file, open_engine
from worker.doctor.finding import Verdict, ok, skipped, warning
from worker.settings import Settings

_MOST_NAMED = 5


def look_at_body_parts(settings: Settings) -> Verdict:
    """Read every value of Body Part Examined that the ledger holds."""
    if missing_file(settings):
        return skipped("the database is not made yet")
    with open_engine(settings) as engine:
        counts = RadiographCounts(engine).by_body_part()
    return judge_body_parts(understand_counted(counts, settings.body_parts))


def judge_body_parts(found: Understanding) -> Verdict:
    """Warn of unknown words: their radiographs are analysed, whatever they show."""
    if not found.unknown:
        return ok(f"all {len(found.words)} values of Body Part Examined are understood")
    named = ", ".join(found.unknown[:_MOST_NAMED])
    more = f" and {len(found.unknown) - _MOST_NAMED} more" * (len(found.unknown) > _MOST_NAMED)
    return warning(
        f"unknown words for body parts: {named}{more}; their radiographs are analysed",
        'Say in the settings, table [body_parts], what each means: a region such as "HAND", '
        '"not a limb" or "ignored". `fracture-screen body-parts` lists all with counts.',
    )
