"""Give every selected task what it is trained with: human instructions, or what bilevel gradient descent makes of them.

Reads:  data/selection.json; data/pool/tasks.parquet, examples.parquet; data/models/base/; sections optimize, prompt, seed
Writes: data/instructions/: instructions.json, unless human parameters.safetensors, and model/ where the model is kept;
        reports/optimize.json; reports/curves/optimize/: one TSV per curve and fold
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peft import PeftModel
from transformers import PreTrainedModel

import instune
from instune import config
from instune.bilevel.artefact import Artefact, save_artefact
from instune.bilevel.cross_fit import CrossFit, Learned, given
from instune.bilevel.curves import curve_log
from instune.bilevel.instructions import Passes
from instune.bilevel.material import base_material
from instune.bilevel.parameterizations.base import Material, Parameterization
from instune.bilevel.parameterizations.methods import METHODS
from instune.bilevel.ranks import is_first
from instune.bilevel.schedule import Schedule, Solve, Validation
from instune.bilevel.settings import Optimize
from instune.checkpointing import recompute_activations
from instune.devices import alone
from instune.model_checks import check_positions, decoder_start
from instune.models import load_config, load_model, load_tokenizer, pick_device, save, settings_files, weights_hash
from instune.prompts import Prompt
from instune.records import Example, Task, read_tasks
from instune.results import write_json, write_text
from instune.selection.chosen import chosen_examples, read_selection
from instune.tuning.adapters import add_lora, merge_lora
from instune.tuning.checkpoint import run_key
from stages.command import run

CODE = Path(instune.__file__).parent

SECTIONS = {"optimize": Optimize, "prompt": Prompt, "seed": int}
SCRATCH = Path(".scratch/optimize_instructions")


def _family(params: Optimize) -> dict[str, Any]:
    """The keywords of the method's parameterization."""
    if params.method.startswith("extractor"):
        return params.extractor.model_dump(exclude={"choose"})
    unused = {"embedder_direct": {"source", "convert_by"}, "embedder_conversion": {"initial"}}
    return params.embedder.model_dump(exclude=unused[params.method]) if params.method in unused else {}


def _material(values: dict[str, Any], pool: list[Task], examples: dict[str, list[Example]], model: Path) -> Material:
    params, tasks = values["optimize"], {task.task_id: task for task in pool}
    encoded = params.method == "embedder_conversion" and params.embedder.convert_by == "encoder"
    return base_material(model, load_tokenizer(model), tasks, examples, values["prompt"], values["seed"], encoded=encoded)


def _cross_fit(params: Optimize, material: Material, model: Path) -> CrossFit:
    def new_model() -> PreTrainedModel:
        net = load_model(model, attention=params.attention)
        if params.gradient_checkpointing:
            recompute_activations(net)
        return net if params.lora is None else add_lora(net, **params.lora.model_dump(), dropout=0.0, seed=material.seed)

    def make(known: Material, task_ids: Sequence[str], device: torch.device) -> Parameterization:
        return METHODS[params.method](known, task_ids, device, **_family(params))

    start = decoder_start(load_model(model))
    passes = Passes(material.tokenizer.pad_token_id, start, params.micro_batch_tokens, params.precision)
    validated = params.validation is not None
    return CrossFit(material, make, new_model, passes=passes, folds=params.folds, validated=validated)


def _learn(params: Optimize, fit: CrossFit, scratch: Path, curves: Path) -> Learned:
    steps = {field.name for field in fields(Schedule)} - {"validation"}
    validation = None if params.validation is None else Validation(**params.validation.model_dump())
    schedule = Schedule(**params.model_dump(include=steps), validation=validation)
    solve = Solve(**params.model_dump(include={field.name for field in fields(Solve)}))
    with curve_log(curves) if is_first() else nullcontext(lambda fold, step, facts: None) as log:
        return fit.run(schedule, solve, scratch=scratch, log=log)


def _no_curve(curves: Path) -> None:
    write_text(curves / "plots" / "metrics" / "outer_loss.tsv", "step\touter_loss\n0\t\n")


def _pool(tasks: Path, examples: Path, choice: dict[str, Any]) -> tuple[list[Task], dict[str, list[Example]]]:
    """Selected tasks that have examples and a definition, and all examples by task.

    A task without a definition has its instruction in its examples' text: there is none to optimize.
    """
    by_task: dict[str, list[Example]] = {task_id: [] for task_id in choice["selected"]}
    for example in chosen_examples(examples, choice):
        by_task[example.task_id].append(example)
    return [task for task in read_tasks(tasks).values() if by_task.get(task.task_id) and task.definition.strip()], by_task


def _result(params: Optimize, material: Material, model: Path, *, scratch: Path, curves: Path) -> Learned:
    if params.method.startswith("extractor") and params.extractor.choose != "learned":
        return given(material, **params.extractor.model_dump(exclude={"choice", "temperature", "gumbel"}))
    return _learn(params, _cross_fit(params, material, model), scratch, curves)


def _write(
    artefact: Artefact, found: Learned, selected: Sequence[str], *, model: Path, out: Path, report: Path, curves: Path
) -> None:
    def save_model(folder: Path) -> None:
        plain = merge_lora(found.model) if isinstance(found.model, PeftModel) else found.model
        save(plain, load_tokenizer(model), folder)

    save_artefact(out, artefact, found.description, save_model=None if found.model is None else save_model)
    human, ends = artefact.human_tasks(selected), found.report.get("folds", [])
    write_json(report, {"method": artefact.kind, "optimized": list(found.task_ids), "human": human} | found.report)
    if not ends:
        _no_curve(curves)
    said = f"outer loss {ends[0]['last']['outer_loss']:.3f}" if ends else "nothing was learned"
    learned = f"{artefact.kind} for {len(found.task_ids)} tasks, {len(human)} stay human; {said}; see {report}"
    print(f"{out}: {learned if found.task_ids else f'human instructions for {len(human)} tasks'}")


def main(*, selection: Path, tasks: Path, examples: Path, model: Path, out: Path, report: Path, curves: Path) -> None:
    """Write the artefact, its report and its curves; of several processes, the first does."""
    values = config.load(SECTIONS)
    accelerator = Accelerator(cpu=pick_device().type == "cpu")
    params, choice, weights = values["optimize"], read_selection(selection), weights_hash(model)
    if is_first():
        shutil.rmtree(curves, ignore_errors=True)
    found, key = Learned((), {}, {}, {}, {}), "human"
    if params.method != "human":
        check_positions(load_config(model), values["prompt"].max_tokens)
        inputs = [selection, tasks, examples, *settings_files(model), CODE, Path(__file__)]
        key = run_key([str(values), weights], inputs)
        material = _material(values, *_pool(tasks, examples, choice), model)
        found = _result(params, material, model, scratch=SCRATCH / key, curves=curves)
        accelerator.wait_for_everyone()  # nobody reads checkpoints any more
    if is_first():
        artefact = Artefact(params.method, weights, found.task_ids, found.tensors, found.settings)
        _write(artefact, found, choice["selected"], model=model, out=out, report=report, curves=curves)
        shutil.rmtree(SCRATCH / key, ignore_errors=True)
    accelerator.end_training()


if __name__ == "__main__":
    run(main, within=alone)
