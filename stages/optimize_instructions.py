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
from typing import Annotated, Any, Literal, Self

import torch
from accelerate import Accelerator
from peft import PeftModel
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from transformers import PreTrainedModel

import instune
from instune import config
from instune.bilevel.artefact import Artefact, save_artefact
from instune.bilevel.cross_fit import CrossFit, Learned, given
from instune.bilevel.curves import curve_log
from instune.bilevel.instructions import Passes
from instune.bilevel.parameterizations.base import Material, Parameterization
from instune.bilevel.parameterizations.extractor import Choice
from instune.bilevel.parameterizations.initial import Initial
from instune.bilevel.parameterizations.methods import METHODS
from instune.bilevel.parameterizations.source_text import Source
from instune.bilevel.parameterizations.source_vectors import ConvertBy
from instune.bilevel.ranks import is_first
from instune.bilevel.schedule import InnerOptimizer, Schedule, Solve
from instune.bilevel.schedule import Validation as ValidationSteps
from instune.bilevel.solvers.named import SolverName
from instune.checkpointing import recompute_activations
from instune.config import Section
from instune.models import (
    Precision,
    check_positions,
    decoder_start,
    load_config,
    load_model,
    load_tokenizer,
    pick_device,
    save,
    weights_hash,
)
from instune.prompts import Prompt, load_template
from instune.records import Example, Task, read_tasks
from instune.results import read_json, write_json, write_text
from instune.selection.chosen import chosen_examples
from instune.tuning.adapters import add_lora, merge_lora
from instune.tuning.checkpoint import run_key
from stages.command import run

CODE = Path(instune.__file__).parent


class Embedder(Section):
    soft_tokens: PositiveInt  # embeddings per instruction; of embedder_conversion: at most
    initial: Initial  # where embedder_direct starts: the definition's token embeddings, noise of their scale, frequent tokens
    source: Source  # what embedder_conversion converts: the definition, or another instance of the task
    convert_by: ConvertBy  # its vectors, before the map: token embeddings, or the frozen base model's last hidden states


class Extractor(Section):
    choose: Literal[
        "learned", "fixed", "random"
    ]  # fixed: the task's first candidates; random: drawn for every row; neither learns
    exemplars: NonNegativeInt  # worked examples in a prompt
    candidates: PositiveInt  # of each task, to choose from; a row's own instance is none
    max_tokens: PositiveInt  # longer examples are no candidates
    choice: Choice  # hard: the most probable candidate, with the softmax's gradient (straight-through); soft: their mixture
    temperature: PositiveFloat  # divides the logits
    gumbel: bool  # noise on the logits
    instruction: bool  # the human instruction stands in front; false with exemplars 0: no instruction at all

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.choose == "learned" and self.exemplars == 0:
            raise ValueError("exemplars: 0 is not allowed where choose is learned. Give 1 or more, or choose: fixed.")
        return self


class Lora(Section):
    rank: PositiveInt
    alpha: PositiveFloat


class Validation(Section):
    rows: PositiveInt  # examples of held-out tasks, with human instructions
    every: PositiveInt  # outer steps
    patience: PositiveInt  # validations without a new best before a fold stops


class Params(Section):
    method: Literal["human", "embedder_direct", "embedder_conversion", "extractor_direct", "extractor_conversion", "reweight"]
    keep_model: bool  # finetune starts from the model of the last step instead of base; of methods that run one fold
    folds: Annotated[int, Field(ge=2)]  # parts of the tasks: one is meta-test, one more validation where that is on
    outer_steps: PositiveInt  # per fold
    inner_steps: PositiveInt  # steps of the model after each outer step
    batch_size: PositiveInt  # examples of meta-train tasks, per outer and per inner step
    meta_batch_size: PositiveInt  # examples of meta-test tasks per outer step
    micro_batch_tokens: PositiveInt  # padded tokens per pass, bounds memory
    inner_optimizer: InnerOptimizer
    inner_learning_rate: PositiveFloat
    outer_learning_rate: PositiveFloat  # of Adam on the instruction parameters
    lora: Lora | None  # of the inner model; null: all its weights
    solver: SolverName
    terms: NonNegativeInt  # of neumann: K, so K + 1 terms; iterations of conjugate_gradient; steps of unrolled
    gamma: Literal["auto"] | PositiveFloat  # step of the series; auto: 1 / largest eigenvalue, estimated
    damping: NonNegativeFloat  # lambda of (H + lambda I), of neumann and conjugate_gradient
    product: Literal["central_difference", "double_backward"]
    difference_step: Literal["auto"] | PositiveFloat  # of central_difference: length of the perturbation; auto: found per fold
    precision: Precision
    attention: Literal["sdpa", "eager"]
    gradient_checkpointing: bool  # layers are computed again in each backward pass: memory of one layer for a third more time
    checked_batches: NonNegativeInt  # at the start, also by float32 double backward: the cosine is logged; 0: not
    checkpoint_every: PositiveInt  # outer steps
    validation: Validation | None
    embedder: Embedder  # of embedder_direct and embedder_conversion
    extractor: Extractor  # of extractor_direct and extractor_conversion

    @model_validator(mode="after")
    def _one_model_to_keep(self) -> Self:
        given = self.method.startswith("extractor") and self.extractor.choose != "learned"
        if self.keep_model and (self.method == "human" or given or METHODS[self.method].per_task):
            several = (
                f"there is a model per fold with {self.method}" if self.method in METHODS and not given else "no model is trained"
            )
            raise ValueError(
                f"keep_model: true is not allowed here: {several}. Set it to false, or take embedder_conversion or "
                "extractor_conversion, which learn in one fold."
            )
        return self


SECTIONS = {"optimize": Params, "prompt": Prompt, "seed": int}
SCRATCH = Path(".scratch/optimize_instructions")


def _family(params: Params) -> dict[str, Any]:
    """The keywords of the method's parameterization."""
    if params.method.startswith("extractor"):
        return params.extractor.model_dump(exclude={"choose"})
    unused = {"embedder_direct": {"source", "convert_by"}, "embedder_conversion": {"initial"}}
    return params.embedder.model_dump(exclude=unused[params.method]) if params.method in unused else {}


def _material(values: dict[str, Any], pool: list[Task], examples: dict[str, list[Example]], model: Path) -> Material:
    tokenizer, net = load_tokenizer(model), load_model(model)
    template = load_template(values["prompt"].template, tokenizer, seq2seq=net.config.is_encoder_decoder)
    table = net.get_input_embeddings().weight.detach().float().cpu()  # (V, d)
    tasks = {task.task_id: task for task in pool}
    params = values["optimize"]
    encoded = params.method == "embedder_conversion" and params.embedder.convert_by == "encoder"
    known = (tasks, examples, tokenizer, table, template, values["prompt"], values["seed"])
    return Material(*known, encoder=net if encoded else None)


def _cross_fit(params: Params, material: Material, model: Path) -> CrossFit:
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


def _learn(params: Params, fit: CrossFit, scratch: Path, curves: Path) -> Learned:
    steps = {field.name for field in fields(Schedule)} - {"validation"}
    validation = None if params.validation is None else ValidationSteps(**params.validation.model_dump())
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


def _result(params: Params, material: Material, model: Path, *, scratch: Path, curves: Path) -> Learned:
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
    params, choice, weights = values["optimize"], read_json(selection), weights_hash(model)
    if is_first():
        shutil.rmtree(curves, ignore_errors=True)
    found, key = Learned((), {}, {}, {}, {}), "human"
    if params.method != "human":
        check_positions(load_config(model), values["prompt"].max_tokens)
        key = run_key([str(values), weights], [selection, tasks, examples, CODE, Path(__file__)])
        material = _material(values, *_pool(tasks, examples, choice), model)
        found = _result(params, material, model, scratch=SCRATCH / key, curves=curves)
        accelerator.wait_for_everyone()  # nobody reads checkpoints any more
    if is_first():
        artefact = Artefact(params.method, weights, found.task_ids, found.tensors, found.settings)
        _write(artefact, found, choice["selected"], model=model, out=out, report=report, curves=curves)
        shutil.rmtree(SCRATCH / key, ignore_errors=True)
    accelerator.end_training()


if __name__ == "__main__":
    run(main)
