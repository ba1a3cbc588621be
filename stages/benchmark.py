"""Run benchmarks of lm-evaluation-harness, its own by name and YAML tasks of yours (no tasks: an empty result, at once).

Starts alone, or in several processes that share the documents: `torchrun --nproc-per-node N -m stages.benchmark ...`.

Reads:  data/models/base or tuned, benchmarks/ (YAML tasks and their data); sections benchmarks, seed
Writes: data/benchmarks/<model>/results.json: n, shots, version, cut prompts, empty answers and metrics of each task, those of
        groups, the IM paper's means; samples.jsonl: a line per document and filter, with prompts, answers and scores
"""

from __future__ import annotations

import shutil
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import evaluate
from lm_eval.tasks.manager import TaskDict
from pydantic import Field, NonNegativeInt, PositiveInt
from transformers import set_seed

from instune import config, models
from instune.config import Section
from instune.devices import alone
from instune.errors import InputError
from instune.evaluation import backends, benchmark_results, benchmarks, im_nlp, journaled
from instune.evaluation.backends import Backend
from instune.evaluation.journal import Journal, digest, file_digest
from instune.models import Precision
from stages.command import run

SCRATCH = Path(".scratch/benchmark")
ITERATIONS = 1000  # bootstrap samples behind the standard error of what is no mean, such as TER


class Params(Section):
    tasks: list[str]  # tasks, groups or tags
    include: str | None  # folder of YAML tasks in benchmarks/
    limit: PositiveInt | None  # documents of each task, the first
    num_fewshot: NonNegativeInt | None  # of tasks that fix none; null: each task's own
    chat_template: Literal["none", "one_turn", "multiturn"]  # few-shot examples in the user's turn | as turns
    backend: Backend
    batch_size: Literal["auto"] | PositiveInt = Field(union_mode="left_to_right")  # rows per pass; auto: what memory takes
    precision: Precision  # of weights and products; auto: bfloat16 where the device computes it natively
    unsafe_code: bool  # run what the model writes, for tasks such as humaneval


SECTIONS = {"benchmarks": Params, "seed": int}


def folders_of(root: Path, params: Params) -> list[Path]:
    """The folders of YAML tasks: ours, and the user's."""
    if params.include is None:
        return [root / im_nlp.FOLDER]
    chosen = root / params.include
    if not chosen.resolve().is_relative_to(root.resolve()):
        raise InputError(f"benchmarks.include: {params.include!r} lies outside {root}/, whose content DVC knows. Bring it there.")
    return [root / im_nlp.FOLDER, chosen]


def scratch_of(model: Path, params: Params, seed: int, accelerator: Accelerator, dtype: torch.dtype) -> Path:
    """A folder named after all that determines an answer, so that two models or settings never share one."""
    code = file_digest(Path(journaled.__file__), Path(backends.__file__), *models.settings_files(model))
    asked = digest(params.model_dump(), seed, accelerator.num_processes)
    versions = [f"{name}{version(name)}" for name in ("lm_eval", "torch", "transformers")]
    return SCRATCH / "-".join([models.weights_hash(model), code, asked, accelerator.device.type, str(dtype), *versions])


def ask(
    loaded: TaskDict, model: Path, params: Params, seed: int, journal: Journal, device: torch.device
) -> tuple[dict[str, Any] | None, TemplateLM]:
    """lm-eval's results, None in every process but the first, and the model that answered."""
    dtype = models.autocast_dtype(device, params.precision)
    opened = backends.open_model(
        model, backend=params.backend, batch_size=params.batch_size, device=device, dtype=dtype, seed=seed
    )
    benchmarks.check_lengths(loaded, opened.lm.max_length)
    found = evaluate(
        journaled.JournaledLM(opened.lm, journal, contexts=opened.contexts, shrink=opened.shrink, seed=seed, device=device),
        loaded,
        limit=params.limit,
        bootstrap_iters=ITERATIONS,
        apply_chat_template=params.chat_template != "none",
        fewshot_as_multiturn=params.chat_template == "multiturn",
        confirm_run_unsafe_code=params.unsafe_code,
    )
    return found, opened.lm


def main(*, model: Path, yaml: Path, out: Path) -> None:
    """Write the results of one model; a killed run goes on where it stopped."""
    values = config.load(SECTIONS)
    params, seed = values["benchmarks"], values["seed"]
    if not params.tasks:
        benchmark_results.write(out, benchmark_results.NOTHING, iter(()))
        print(f"{out}: no benchmarks. Name some in benchmarks.tasks; `lm_eval ls tasks` lists them.")
        return
    benchmarks.quiet()
    backends.check(params.backend, params.batch_size)
    set_seed(seed)  # some tasks of lm-eval draw from the global generators while they load
    manager = benchmarks.manager_of(folders_of(yaml, params), params.tasks)
    loaded = benchmarks.load(manager, params.tasks, unsafe_code=params.unsafe_code, num_fewshot=params.num_fewshot, seed=seed)
    forever = InitProcessGroupKwargs(timeout=timedelta(weeks=1))  # ranks wait for the slowest
    accelerator = Accelerator(cpu=models.pick_device().type == "cpu", kwargs_handlers=[forever])
    scratch = scratch_of(model, params, seed, accelerator, models.autocast_dtype(accelerator.device, params.precision))
    journal = Journal(scratch / f"answers-{accelerator.process_index}.jsonl")
    found, lm = ask(loaded, model, params, seed, journal, accelerator.device)
    journal.close()
    if found is not None:
        results = benchmark_results.summary(found, lm.tok_encode, lm.max_length)
        benchmark_results.write(out, results, benchmark_results.sample_lines(found))
        shutil.rmtree(scratch)
        tasks = ", ".join(sorted(results["tasks"]))
        print(f"{out}: {len(results['tasks'])} benchmark tasks ({tasks}). Look at {benchmark_results.RESULTS}.")
        if cut := {name: task["cut"] for name, task in results["tasks"].items() if task["cut"]}:
            print(f"prompts that lost their beginning, since the model reads {lm.max_length} tokens: {cut}")
        if empty := {name: task["empty"] for name, task in results["tasks"].items() if task["empty"]}:
            print(
                f"documents that got an empty answer: {empty}. Does the model want its chat template (benchmarks.chat_template)?"
            )
    accelerator.end_training()


if __name__ == "__main__":
    run(main, within=alone)
