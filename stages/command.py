"""Run a stage's `main` from the command line: one `--option` per keyword, user errors on one screen."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from instune.errors import InputError


def run(main: Callable[..., None], arguments: list[str] | None = None) -> None:
    """Parse `--name value` for every keyword of `main` (a path each) and call it.

    Exits with 1 and the message alone on an `InputError`; every other exception keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(main), formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in inspect.signature(main).parameters:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    try:
        main(**vars(parser.parse_args(arguments)))
    except InputError as error:
        sys.exit(f"error: {error}")
