"""The finetune stage of which rank 1 is killed in the fourth step; started by torchrun, with the stage's options."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from instune.tuning import train
from instune.tuning.rows import TrainingRow
from stages import finetune
from stages.command import run

STEPS = 3  # that are done before
whole = train.Trainer._step


def killed(self: train.Trainer, step: int, rows: Sequence[TrainingRow]) -> train.Entry:
    """A step, or the end of this process."""
    if (step, self.accelerator.process_index) == (STEPS, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, step, rows)


if __name__ == "__main__":
    train.Trainer._step = killed
    run(finetune.main)
