"""Python's garbage collector, made quick where much is loaded and little changes."""

import gc


def pass_over_what_is_loaded() -> None:
    """From here on the collector passes over what is loaded; what was dropped before, goes.

    So a full collection is quick and comes often. Reports and associations are cycles that hold
    pictures and buffers: among half a million objects they waited for hours. Call it again when
    something large, such as a model, was replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
