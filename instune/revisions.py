"""Which commit a revision of a Hub model stands for."""

from __future__ import annotations

import re

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, HTTPError

from instune.errors import InputError

COMMIT = re.compile("[0-9a-f]{40}")


def commit_of(name: str, revision: str, *, key: str) -> str:
    """The commit of a branch or tag today, asked of the Hub; a commit stands for itself, and nobody is asked.

    Args:
        name: organisation/model.
        revision: 40 hex digits, or a branch or tag (`main`, `refs/pr/1`).
        key: the parameter that holds the revision, for the message.

    Raises:
        InputError: the Hub is out of reach, or has no such model or revision.
    """
    if COMMIT.fullmatch(revision):
        return revision
    try:
        return HfApi().model_info(name, revision=revision).sha
    except (HTTPError, HFValidationError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{key}: the commit of {revision!r} of {name} cannot be asked of the Hub ({first})\n"
            "  Give the commit itself, 40 hex digits, of a model that is in the Hub's cache here, or a local folder."
        ) from None
