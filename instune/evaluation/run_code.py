"""Run programs that a model wrote and see whether they pass their tests (HumanEval, arXiv 2107.03374).

Each program is a process of its own, in an empty folder that is deleted, without environment or input, with limits of time,
memory and file size. That contains accidents, not attacks: run it in a container.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import fmean
from typing import Any

SECONDS = 3  # of a program, as in the published evaluation
PASSED = 77  # exit status behind the last test; a program that ends itself before has another
RUNNER = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({4 << 30}, {4 << 30}))
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS + 1}, {SECONDS + 1}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({1 << 20}, {1 << 20}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
exec(compile(sys.stdin.buffer.read(), "program", "exec"), {{"__name__": "program"}})
os._exit({PASSED})
"""


def passes(program: str) -> bool:
    """Whether the program comes to its end in time and without an error."""
    with tempfile.TemporaryDirectory() as folder:
        nowhere = subprocess.DEVNULL
        command = [sys.executable, "-I", "-c", RUNNER]
        process = subprocess.Popen(
            command, cwd=folder, env={}, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
        try:
            process.communicate(program.encode("utf-8", "replace"), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.wait()
    return process.returncode == PASSED


def programs(resps: Sequence[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """lm-eval filter: each answer behind its prompt."""
    return [[doc["prompt"] + answer for answer in answers] for answers, doc in zip(resps, docs, strict=True)]


def pass_at_1(references: Sequence[str], predictions: Sequence[Sequence[str]]) -> float:
    """lm-eval metric: the share of one problem's answers that pass its tests; of n answers, the unbiased estimate of pass@1."""
    (test,), (answers,) = references, predictions
    return fmean(passes(f"{answer}\n{test}\n") for answer in answers)
