"""Fine-tune the base model on the selected tasks with the chosen instructions and loss mask.

Reads:  data/selection.json (task ids, and example ids where it names some); data/instructions/ (artefact);
        data/pool/tasks.parquet, examples.parquet; data/models/base/; sections finetune, prompt, seed
Writes: data/models/tuned/: weights, configuration, tokenizer with chat template, generation configuration;
        reports/finetune.json: rows, tokens by segment, what was dropped and cut, steps, loss, validation NLL before and after;
        reports/curves/finetune/: one series per metric over optimizer steps
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from accelerate import Accelerator
from dvclive import Live
from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune import config, models
from instune.bilevel.applied import Applied, applied
from instune.bilevel.artefact import Artefact, handed_over, load_artefact
from instune.bilevel.parameterizations.base import Material
from instune.config import Section
from instune.prompts import Prompt, load_template
from instune.records import Example, Task, read_tasks
from instune.results import read_json, write_json
from instune.selection.chosen import chosen_examples
from instune.tuning.adapters import add_lora, merge_lora
from instune.tuning.batches import collate
from instune.tuning.checkpoint import run_key
from instune.tuning.labels import LossTurns, loss_weights
from instune.tuning.loss import Normalization
from instune.tuning.optimizers import Optimizer, Schedule
from instune.tuning.packing import collate_packed
from instune.tuning.prepare import Prepared, outcome, prepare, summary
from instune.tuning.row_attention import attend_by_row
from instune.tuning.rows import TrainingRow
from instune.tuning.train import Collate, Entry, Settings, Trainer
from stages.command import run

Share = Annotated[float, Field(ge=0, lt=1)]
Mask = Annotated[str | dict[str, float], AfterValidator(loss_weights)]  # read as the weight of every segment
SCRATCH = Path(".scratch/finetune")
SETTINGS = {field.name for field in fields(Settings)}


class Lora(Section):
    rank: PositiveInt
    alpha: PositiveFloat
    dropout: Share


class Params(Section):
    loss_mask: Mask  # it: output only; im: all but the template; all; released_im; or a weight for every segment
    loss_turns: LossTurns  # which messages of a conversation carry it
    normalize_by: Normalization  # the denominator of a step's loss
    method: Literal["full", "lora"]
    lora: Lora  # of method lora
    max_tokens: PositiveInt | None  # of all rows of an epoch, prompts included; null: each example of the selected tasks once
    epochs: PositiveInt  # passes over these rows, each in a seeded order of its own
    batch_size: PositiveInt  # rows per optimizer step
    micro_batch_tokens: PositiveInt  # tokens per pass, padding included, bounds memory
    packing: bool  # rows end to end without padding, each by itself; causal models
    gradient_checkpointing: bool  # activations are computed anew in the backward pass
    optimizer: Optimizer  # adamw with its betas and epsilon, or adafactor at the rate below
    learning_rate: PositiveFloat  # peak, per step
    schedule: Schedule  # after the warm-up; linear: down to 0 at the end; constant
    warmup_share: Share  # of the steps
    weight_decay: NonNegativeFloat
    max_grad_norm: PositiveFloat
    neftune_alpha: NonNegativeFloat  # noise of +-alpha / sqrt(tokens x hidden size) on training rows' embeddings; 0: none
    kl_weight: NonNegativeFloat  # of KL(model || base) at the tokens with loss, times their weight; 0: none
    validation_share: Share  # of the selected tasks, held out; 0: no validation
    validation_rows: PositiveInt  # rows of the held-out tasks together
    validate_every: PositiveInt  # optimizer steps
    checkpoint_every: PositiveInt  # optimizer steps
    precision: models.Precision


SECTIONS = {"finetune": Params, "prompt": Prompt, "seed": int}


@contextmanager
def _curves(folder: Path) -> Iterator[Callable[[Entry], None]]:
    with Live(str(folder), dvcyaml=False, save_dvc_exp=False, report=None) as live:

        def log(entry: Entry) -> None:
            live.step = int(entry["step"])
            for name in sorted(set(entry) - {"step"}):
                live.log_metric(name, entry[name])

        yield log
    Path(live.metrics_file).unlink()  # the last values, which a folder of plots would show as an empty one


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path, *, terminator: str) -> None:
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    models.save(model, tokenizer, partial, terminator=terminator)
    shutil.rmtree(out, ignore_errors=True)
    partial.replace(out)


def _rows(
    values: dict[str, Any],
    selected: Sequence[str],
    instructions: Applied,
    tokenizer: PreTrainedTokenizerBase,
    pool: tuple[Mapping[str, Task], Sequence[Example]],
    *,
    seq2seq: bool,
) -> Prepared:
    params = values["finetune"]
    return prepare(
        selected,
        *pool,
        tokenizer,
        values["prompt"],
        weights=params.loss_mask,
        turns=params.loss_turns,
        normalize_by=params.normalize_by,
        show=instructions.show,
        task_weights=instructions.weights,
        max_tokens=params.max_tokens,
        validation_share=params.validation_share,
        validation_rows=params.validation_rows,
        seq2seq=seq2seq,
        seed=values["seed"],
    )


def _material(
    values: dict[str, Any],
    artefact: Artefact,
    pool: tuple[Mapping[str, Task], Sequence[Example]],
    tokenizer: PreTrainedTokenizerBase,
    model: Path,
    device: torch.device,
) -> Material:
    """What an instruction may be converted from: pool, tokenizer, and a copy of the base model that training does not move."""
    by_task: dict[str, list[Example]] = {}
    for example in pool[1]:
        by_task.setdefault(example.task_id, []).append(example)
    net = models.load_model(model, device=device)
    table = net.get_input_embeddings().weight.detach().float().cpu().clone()  # (V, d)
    template = load_template(values["prompt"].template, tokenizer, seq2seq=net.config.is_encoder_decoder)
    encoder = net if artefact.settings.get("convert_by") == "encoder" else None
    return Material(pool[0], by_task, tokenizer, table, template, values["prompt"], values["seed"], encoder)


def _collate(instructions: Applied, tokenizer: PreTrainedTokenizerBase, decoder_start_id: int | None, packing: bool) -> Collate:
    def gather(rows: Sequence[TrainingRow]) -> dict[str, Tensor]:
        soft = [instructions.soft(row) for row in rows if row.soft[1]]
        if packing:
            return collate_packed(rows, soft_prompts=soft)
        return collate(rows, pad_id=tokenizer.pad_token_id, decoder_start_id=decoder_start_id, soft_prompts=soft)

    return gather


def main(
    *, selection: Path, instructions: Path, tasks: Path, examples: Path, model: Path, out: Path, report: Path, curves: Path
) -> None:
    """Train, and write the model, its report and its curves."""
    values = config.load(SECTIONS)
    params, prompt, seed = values["finetune"], values["prompt"], values["seed"]
    choice, artefact, base = read_json(selection), load_artefact(instructions), models.weights_hash(model)
    artefact.check_base_model(base)
    accelerator = Accelerator(cpu=models.pick_device().type == "cpu")
    start = handed_over(instructions) or model
    tokenizer, net = models.load_tokenizer(model), models.load_model(start, device=accelerator.device)
    models.check_positions(net.config, prompt.max_tokens)
    if params.packing:
        attend_by_row(net)
    pool = read_tasks(tasks), list(chosen_examples(examples, choice))
    instructions_of = applied(artefact, partial(_material, values, artefact, pool, tokenizer, model, accelerator.device))
    seq2seq = net.config.is_encoder_decoder
    gather = _collate(instructions_of, tokenizer, models.decoder_start(net), params.packing)
    data = _rows(values, choice["selected"], instructions_of, tokenizer, pool, seq2seq=seq2seq)
    if data.passes > 1 and accelerator.is_main_process:
        print(f"the budget takes {data.passes} passes over the selected tasks' examples: they repeat")
    if params.method == "lora":
        net = add_lora(net, **params.lora.model_dump(), seed=seed)
    settings = Settings(seed=seed, **{name: value for name, value in params if name in SETTINGS})
    known, code = [params.model_dump(), prompt.model_dump(), seed, base], Path(__file__).parents[1] / "instune"
    folder = SCRATCH / run_key(known, [selection, instructions, tasks, examples, code, Path(__file__)])
    with _curves(curves) if accelerator.is_main_process else nullcontext(lambda entry: None) as log:
        keywords = {"settings": settings, "validation": data.validation, "folder": folder, "log": log}
        history = Trainer(net, data.rows, gather, accelerator=accelerator, **keywords).run()
    if accelerator.is_main_process:
        terminator = load_template(prompt.template, tokenizer, seq2seq=seq2seq).terminator
        _save(merge_lora(net) if params.method == "lora" else net, tokenizer, out, terminator=terminator)
        facts = {"start": "base" if start == model else "optimize_instructions"}
        write_json(report, facts | summary(data, weights=params.loss_mask, kind=artefact.kind) | outcome(history))
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{out}: {len(history) - 1} steps on {len(data.rows)} rows; look at {report} and {curves}")
    accelerator.end_training()


if __name__ == "__main__":
    run(main)
