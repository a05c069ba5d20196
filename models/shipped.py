"""Location of the shipped bundle. Imports nothing else, since the settings need it."""

from pathlib import Path

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "fracture-mobilenetv2"
