"""A settings file without what would admit anybody anywhere."""

import re

HIDDEN = "***"
NOTE = """\
# Copied by `fracture-screen backup`. Passwords, and what follows the host in addresses of web
# hooks, are replaced by ***; files that are named here (keys, certificates, secrets) are not in
# the backup. Put both back before this file is used.
"""

_PASSWORD_IN_URL = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s@\"']+(?=@)", re.I)
_HOOK = re.compile(
    r"^(?P<before>\s*#?\s*(?:\w+\.)*(?:url|alarm_webhook)\s*=\s*[\"']https?://[^/\"']+/)[^\"']*",
    re.M,
)
_SECRET = re.compile(
    r"^(?P<before>\s*#?\s*[\w.]*(?:password|secret|token|api_key)\w*(?<!_file)\s*=\s*).+$",
    re.M | re.I,
)


def masked(settings: str) -> str:
    """The text of a TOML file; what cannot be told from a secret goes, too."""
    for pattern in (_PASSWORD_IN_URL, _HOOK):
        settings = pattern.sub(rf"\g<before>{HIDDEN}", settings)
    return NOTE + _SECRET.sub(rf'\g<before>"{HIDDEN}"', settings)
