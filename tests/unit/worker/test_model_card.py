"""The model card's text of a bundle that was trained by another recipe."""

import copy
from dataclasses import replace

from models.bundle import DEFAULT_BUNDLE, load_bundle
from worker.model_card import model_card


def test_a_card_tells_the_protocol_and_the_command_of_its_own_bundle() -> None:
    bundle = load_bundle(DEFAULT_BUNDLE)
    card = copy.deepcopy(dict(bundle.card))
    card["architecture"] |= {"name": "resnet50_v2", "input_size": 384}
    card["training"] |= {"protocol": "The backbone was frozen.", "command": "train --recipe mine"}
    text = model_card(replace(bundle, card=card, limits=("The saliency grid has 12 × 12 cells.",)))
    assert "resnet50_v2, 384 × 384 pixels" in text
    assert "\n\nThe backbone was frozen.\n\n" in text
    assert "```\ntrain --recipe mine\n```" in text
    assert text.endswith("- The saliency grid has 12 × 12 cells.\n")
    for fixed in ("224 ×", "7 × 7", "All layers", "Adam"):
        assert fixed not in text, fixed
