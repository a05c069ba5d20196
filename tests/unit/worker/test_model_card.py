"""The model card's text of a bundle that was trained by another recipe."""

import copy
from dataclasses import replace

from models.architectures import Architecture
from models.bundle import DEFAULT_BUNDLE, load_bundle
from worker.model_card import model_card


def test_a_card_tells_the_protocol_and_the_command_of_its_own_bundle() -> None:
    bundle = load_bundle(DEFAULT_BUNDLE)
    card = copy.deepcopy(dict(bundle.card))
    card["training"] |= {"protocol": "The backbone was frozen.", "command": "train --recipe mine"}
    changed = replace(
        bundle,
        card=card,
        architecture=Architecture("resnet50_v2", 384, input_columns=256),
        limits=("The saliency grid has 12 × 8 cells.",),
    )
    text = model_card(changed)
    assert "resnet50_v2, 384 × 256 pixels" in text
    assert "\n\nThe backbone was frozen.\n\n" in text
    assert "```sh not run: it takes hours\ntrain --recipe mine\n```" in text
    assert text.endswith("- The saliency grid has 12 × 8 cells.\n")
    for fixed in ("224 ×", "7 × 7", "All layers", "Adam"):
        assert fixed not in text, fixed
