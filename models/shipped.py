"""Where the bundle lies that the program comes with. Imports nothing: the settings name it."""

from pathlib import Path

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "fracture-mobilenetv2"
