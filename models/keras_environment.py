"""Environment of Keras and TensorFlow, set before either is imported."""

import os


def quieten_tensorflow() -> None:
    """Let TensorFlow log errors only, and Keras run on TensorFlow where no backend is named."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
