"""How commands print JSON."""

import json
import sys
from typing import Any


def print_json(content: Any) -> None:  # Any: JSON
    """Write `content` to standard output; times and paths as text."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
