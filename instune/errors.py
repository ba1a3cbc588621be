"""The one exception that a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user handed in is wrong.

    The message names the place (file, record or key), the value, what is allowed, and the way out; a stage prints it without a
    traceback and exits with 1. Anything else that is raised is a defect of ours and keeps its traceback.
    """
