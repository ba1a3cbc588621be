"""A stage of which rank 1 is killed in its fourth step; started by torchrun: `killed_rank.py STAGE`, then the stage's options."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from itertools import count
from typing import Any

from instune.bilevel.loop import Fold
from instune.tuning.train import Trainer
from stages.command import run

STEPS = 3  # that are done before
STEP_OF = {"finetune": (Trainer, "_step"), "optimize_instructions": (Fold, "outer_step")}


def kill_in(owner: type, name: str) -> None:
    """Let the fourth call of this method be the end of rank 1."""
    step, calls = getattr(owner, name), count()

    def killed(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == STEPS and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **keywords)

    setattr(owner, name, killed)


if __name__ == "__main__":
    stage = sys.argv.pop(1)
    kill_in(*STEP_OF[stage])
    run(importlib.import_module(f"stages.{stage}").main)
