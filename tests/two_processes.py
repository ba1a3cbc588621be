"""torchrun with two processes of one machine's CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
HUNG = 240  # seconds, the libraries of two processes on a busy machine included; the group's own patience is a week
TRIALS = 3
ENVIRONMENT = {
    "ACCELERATE_USE_CPU": "true",
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
}


def by_two(*program: str, options: Mapping[str, Path] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `-m module` or a file in two processes, each option as `--name path`.

    The launcher was seen to hang before it starts any: then it is asked to end, twice at most. It is not killed, since it
    ends its workers, which are of sessions of their own.
    """
    command = [*LAUNCHER, *program, *(text for name, path in (options or {}).items() for text in (f"--{name}", str(path)))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    for _ in range(TRIALS):
        with subprocess.Popen(command, env=os.environ | ENVIRONMENT, **pipes) as launcher:
            try:
                said = launcher.communicate(timeout=HUNG)
            except subprocess.TimeoutExpired:
                launcher.terminate()
            else:
                return subprocess.CompletedProcess(command, launcher.returncode, *said)
    raise AssertionError(f"{' '.join(command)} hung {TRIALS} times")
