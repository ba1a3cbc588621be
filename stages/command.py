"""Run a stage's `main` from the command line: one `--option` per keyword, user errors on one screen."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from instune.errors import InputError
from instune.unchanged import unchanged

CHARACTERS, LINES, ALL = 400, 30, 4000  # of a line, and of a message: at most one screen, whatever the value that it repeats


def screen(message: str) -> str:
    """The message in printable characters, long lines without their middle, and not more lines than a screen has."""
    lines = []
    for line in message.splitlines():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
        lines.append(text if len(text) <= CHARACTERS else f"{text[: CHARACTERS // 2]} ... {text[-CHARACTERS // 2 :]}")
    cut = False
    while len(lines) > LINES or sum(map(len, lines)) > ALL - 2 * LINES:
        del lines[-2]  # the last one tells the way out
        cut = True
    return "\n".join([*lines[:-1], "  ...", lines[-1]] if cut else lines)


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
    stage, sections = Path(inspect.getfile(main)).stem, vars(sys.modules[main.__module__]).get("SECTIONS", ())
    try:
        with within(stage), unchanged(stage, sections):
            main(**options)
    except InputError as error:
        sys.exit(screen(f"error: {error}"))
