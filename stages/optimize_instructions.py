"""Give every selected task the instruction that it is trained with: the human one, or one optimized by bilevel gradient descent.

Reads:  data/selection.json; data/pool/tasks.parquet, examples.parquet; data/models/base/; sections optimize, prompt, seed
Writes: data/instructions/: instructions.json and, unless human, soft_prompts.safetensors (n_task, n_tokens, d);
        reports/optimize.json; reports/curves/optimize/: one TSV per curve and fold
"""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

import instune
from instune import config
from instune.bilevel.artefact import Artefact, save_artefact
from instune.bilevel.cross_fit import CrossFit
from instune.bilevel.curves import curve_log
from instune.bilevel.loop import Schedule, Solve
from instune.config import Section
from instune.models import check_positions, load_config, load_model, load_tokenizer, weights_hash
from instune.prompts import Prompt
from instune.records import Example, Task, read_tasks
from instune.results import read_json, write_json, write_text
from instune.selection.chosen import chosen_examples
from instune.tuning.checkpoint import run_key
from stages.command import run

CODE = Path(instune.__file__).parent


class Embedder(Section):
    """Used by embedder_direct; human ignores it."""

    soft_tokens: PositiveInt  # embeddings per instruction
    initial: Literal["definition", "random"]  # start from the definition's token embeddings, or from noise of their scale
    folds: Annotated[int, Field(ge=2)]  # cross-fit: every task is held out by one fold and gets its prompt from another
    outer_steps: PositiveInt  # per fold
    inner_steps: PositiveInt  # SGD steps of the model after each outer step
    batch_size: PositiveInt  # examples of meta-train tasks, per outer and per inner step
    meta_batch_size: PositiveInt  # examples of meta-test tasks per outer step
    inner_learning_rate: PositiveFloat
    outer_learning_rate: PositiveFloat  # of Adam on the soft prompts
    neumann_terms: NonNegativeInt  # K: the series has K + 1 terms
    gamma: Literal["auto"] | PositiveFloat  # step of the series; auto: 1 / largest eigenvalue, estimated
    product: Literal["central_difference", "double_backward"]
    difference_step: Literal["auto"] | PositiveFloat  # of central_difference: length of the perturbation; auto: found per fold
    attention: Literal["sdpa", "eager"]  # double_backward needs eager
    checkpoint_every: PositiveInt  # outer steps


class Params(Section):
    method: Literal["human", "embedder_direct"]
    embedder: Embedder


SECTIONS = {"optimize": Params, "prompt": Prompt, "seed": int}
SCRATCH = Path(".scratch/optimize_instructions")


def _cross_fit(values: dict[str, Any], pool: list[Task], examples: dict[str, list[Example]], model: Path) -> CrossFit:
    embedder = values["optimize"].embedder
    check_positions(load_config(model), values["prompt"].max_tokens)
    return CrossFit(
        pool,
        examples,
        load_tokenizer(model),
        lambda: load_model(model, attention=embedder.attention),
        prompt=values["prompt"],
        soft_tokens=embedder.soft_tokens,
        initial=embedder.initial,
        folds=embedder.folds,
        seed=values["seed"],
    )


def main(*, selection: Path, tasks: Path, examples: Path, model: Path, out: Path, report: Path, curves: Path) -> None:
    """Write the artefact, its report and its curves."""
    values = config.load(SECTIONS)
    params, choice, weights = values["optimize"], read_json(selection), weights_hash(model)
    selected = choice["selected"]
    shutil.rmtree(curves, ignore_errors=True)
    if params.method == "human":
        write_text(curves / "plots" / "metrics" / "outer_loss.tsv", "step\touter_loss\n0\t\n")
        save_artefact(out, Artefact("human", weights), {})
        write_json(report, {"method": "human", "optimized": [], "human": selected})
        print(f"{out}: human instructions for {len(selected)} tasks")
        return
    by_task: dict[str, list[Example]] = {task_id: [] for task_id in selected}
    for example in chosen_examples(examples, choice):
        by_task[example.task_id].append(example)
    # A task without a definition has its instruction in its examples' text: there is none to optimize.
    pool = [task for task in read_tasks(tasks).values() if by_task.get(task.task_id) and task.definition.strip()]
    key = run_key([str(values), weights], [selection, tasks, examples, CODE, Path(__file__)])
    fit = _cross_fit(values, pool, by_task, model)
    settings = params.embedder
    schedule = Schedule(**settings.model_dump(include={field.name for field in fields(Schedule)}))
    solve = Solve(settings.product, settings.difference_step, settings.neumann_terms, settings.gamma)
    with curve_log(curves) as log:
        learned = fit.run(schedule, solve, scratch=SCRATCH / key, log=log)
    save_artefact(out, Artefact(params.method, weights, learned.task_ids, learned.prompts), learned.description)
    human = [task_id for task_id in selected if task_id not in learned.task_ids]
    write_json(report, {"method": params.method, "optimized": list(learned.task_ids), "human": human} | learned.report)
    shutil.rmtree(SCRATCH / key)
    last = learned.report["folds"][0]["last"]["outer_loss"]
    print(f"{out}: soft prompts for {len(learned.task_ids)} tasks, {len(human)} stay human; outer loss {last:.3f}; see {report}")


if __name__ == "__main__":
    run(main)
