"""Run a stage's `main` from the command line: one `--option` per keyword; user errors, a full disk and Ctrl-C on one screen."""

from __future__ import annotations

import argparse
import inspect
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

from instune.errors import InputError
from instune.files import full_disk
from stages.unchanged import unchanged

CHARACTERS, LINES, ALL = 400, 30, 4000  # of a line, and of a message: at most one screen, whatever the value that it repeats
INTERRUPTED = 130  # exit status after a Ctrl-C
GRACE = 4.0  # seconds that a stage has after a Ctrl-C to take back what it was writing
STARTERS = ("DVC_STAGE", "TORCHELASTIC_RUN_ID")  # variables of whoever starts stages and waits for them to end


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\ninterrupted\n")
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _leave)  # a second Ctrl-C does not wait
    late = threading.Timer(GRACE, os._exit, [INTERRUPTED])
    late.daemon = True
    late.start()
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # all is written; KeyboardInterrupt would be raised somewhere in the libraries that are being taken down


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.write(2, b"\nended: the process that started this stage was killed\n")
    os._exit(1)


def start() -> None:
    """Prepare a process that runs one stage, before the stage imports its libraries, which takes seconds.

    Ctrl-C ends it, while it imports at once. DVC ignores Ctrl-C while a stage runs, so the stage itself must end. One that DVC
    or torchrun has started ends with it: were only that killed, the stage would go on and get in the way of the next one.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not with nohup, which has it ignored
        signal.signal(signal.SIGINT, _leave)
    if any(name in os.environ for name in STARTERS):
        threading.Thread(target=_end_without, args=[os.getppid()], daemon=True).start()


def no_room(full: OSError) -> str:
    """What a user reads of a full disk: which file, how much room there is, how to go on."""
    place = Path(full.filename or ".").absolute()
    disk = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir()))
    return (
        f"{full.filename or 'the folder of this run'}: {full.strerror}; {disk.free / 2**20:.0f} of {disk.total / 2**20:.0f} MiB "
        "are free.\n  What was finished is kept. Make room and run the same command again: it goes on from there."
    )


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

    Exits with 1 and the message alone on an `InputError` or a full disk, with 130 and a line on Ctrl-C; every other exception
    keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(main), formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in inspect.signature(main).parameters:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    options = vars(parser.parse_args(arguments))
    stage, sections = Path(inspect.getfile(main)).stem, vars(sys.modules[main.__module__]).get("SECTIONS", ())
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        with within(stage), unchanged(stage, sections):
            main(**options)
        if signal.getsignal(signal.SIGINT) is _interrupt:
            sys.stdout.flush()
            signal.signal(signal.SIGINT, _end)
    except InputError as error:
        sys.exit(screen(f"error: {error}"))
    except KeyboardInterrupt:
        print(f"\n{stage}: interrupted; run the same command to go on", file=sys.stderr, flush=True)
        if signal.getsignal(signal.SIGINT) is _leave:
            os._exit(INTERRUPTED)  # taking down the libraries takes longer than ending
        sys.exit(INTERRUPTED)
    except Exception as error:
        full = full_disk(error)
        if full is None:
            raise
        sys.exit(screen(f"error: {no_room(full)}"))
