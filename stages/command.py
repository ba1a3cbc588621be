"""Run a stage's `main` from the command line: one `--option` per keyword, user errors on one screen."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from instune.errors import InputError


def run(
    main: Callable[..., None],
    arguments: list[str] | None = None,
    *,
    within: Callable[[str], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Parse `--name value` for every keyword of `main` (a path each) and call it.

    Args:
        within: a context of the stage's name that it runs in, as `instune.devices.alone`.

    Exits with 1 and the message alone on an `InputError`; every other exception keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(main), formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in inspect.signature(main).parameters:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    options = vars(parser.parse_args(arguments))
    try:
        with within(Path(inspect.getfile(main)).stem):
            main(**options)
    except InputError as error:
        sys.exit(f"error: {error}")
