"""Seconds per radiograph: our classifier with its explanation beside Keras' own `predict`.

Run by hand: `python -m tests.bench.inference`. The peer runs in the same process on the same
phantoms, first ours and then the peer's in turn, so that the ratio holds when the machine drifts.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from models.architectures import build
from models.bundle import load_bundle
from models.keras_environment import quieten_tensorflow
from models.keras_weights import set_weights
from models.preprocessing import letterbox, to_network_input
from worker.classifiers import make_classifier
from worker.phantom import draw_phantom
from worker.settings import load_settings

ROUNDS = 30


def main() -> None:
    """Print medians and the ratio."""
    quieten_tensorflow()
    settings = load_settings()
    bundle = load_bundle(settings.model.bundle)
    classifier = make_classifier(settings, bundle)
    network = build(bundle.architecture)
    set_weights(network, bundle.weights)
    pixels = draw_phantom(1, fractured=True).astype(np.float32) / 255.0

    def ours() -> None:
        classifier.classify([pixels])

    def peer() -> None:
        square, _ = letterbox(pixels, bundle.preprocessing)
        network.predict(
            to_network_input(square[np.newaxis], bundle.preprocessing.normalization), verbose=0
        )

    ours_s, peer_s = in_turn(ours, peer)
    print(f"classify + Grad-CAM++, one radiograph: {1000 * ours_s:.1f} ms")
    print(f"keras predict, no explanation:         {1000 * peer_s:.1f} ms")
    print(f"ratio ours / peer: {ours_s / peer_s:.2f}")


def in_turn(ours: Callable[[], None], peer: Callable[[], None]) -> tuple[float, float]:
    """Median seconds of both, after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_number in range(ROUNDS + 3):
        for work, taken in zip((ours, peer), times, strict=True):
            started = time.perf_counter()
            work()
            if round_number >= 3:
                taken.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
