"""Who asks, for the audit trail."""

import os
import pwd
import socket


def present_actor() -> str:
    """Operating-system user and machine; with sudo also who called it.

    From the process's user id, not from variables that anybody may set (SUDO_USER is only added).
    """
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        user = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER", "")
    return f"{user}{f' (sudo {caller})' if caller else ''}@{socket.gethostname()}"
