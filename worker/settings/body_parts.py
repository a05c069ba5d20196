"""[body_parts]: a site's own words for body parts."""

from difflib import get_close_matches

from dicom_node.stated_body_part import IGNORED, NOT_A_LIMB, is_word, limb_regions


def known_region(word: str, region: str) -> str:
    """Return the region as the table of body parts names it.

    Raises:
        ValueError: there is no such region, or the word has no letters that could be compared.
    """
    if not is_word(word):
        raise ValueError(f"{word!r}: a word needs letters; digits and signs are not compared")
    allowed = (*limb_regions(), NOT_A_LIMB, IGNORED)
    for known in allowed:
        if region.strip().casefold() == known.casefold():
            return known
    close = get_close_matches(region.upper(), limb_regions(), n=1)
    hint = f"; did you mean {close[0]}" if close else ""
    raise ValueError(f"{word}: {region!r} is no region{hint}; allowed are {', '.join(allowed)}")
