"""How sure a share is."""

import math

_Z = 1.959963984540054
"""Of the normal distribution: 95 % lie within."""


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of independent trials (Wilson 1927); 0 to 1 of none."""
    if not count:
        return 0.0, 1.0
    share, z2 = successes / count, _Z * _Z / count
    middle = share + z2 / 2
    spread = _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return max(0.0, (middle - spread) / (1 + z2)), min(1.0, (middle + spread) / (1 + z2))
