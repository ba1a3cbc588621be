"""Fine-tune the base model on the selected tasks with the chosen instructions and loss mask.

Reads:  data/selection.json (task ids, and example ids where it names some); data/instructions/ (artefact);
        data/pool/tasks.parquet, examples.parquet; data/models/base/; sections finetune, prompt, seed
Writes: data/models/tuned/: weights, configuration, tokenizer with chat template, generation configuration;
        reports/finetune.json: rows, tokens by segment, what was dropped and cut, steps, loss, validation NLL before and after;
        reports/curves/finetune/: one series per metric over optimizer steps
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path

from accelerate import Accelerator
from dvclive import Live
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import instune
from instune import config, model_checks, models
from instune.bilevel.applied import Applied
from instune.bilevel.artefact import handed_over, load_artefact
from instune.devices import alone
from instune.files import replacing
from instune.prompts import Prompt, load_template
from instune.records import read_tasks
from instune.results import write_json
from instune.selection.chosen import chosen_examples, read_selection
from instune.tuning.adapters import add_lora, merge_lora
from instune.tuning.batches import collate
from instune.tuning.checkpoint import run_key
from instune.tuning.packing import collate_packed
from instune.tuning.prepare import outcome, spoken, summary
from instune.tuning.row_attention import attend_by_row
from instune.tuning.rows import TrainingRow
from instune.tuning.run_rows import run_rows
from instune.tuning.settings import Finetune
from instune.tuning.train import Collate, Entry, Settings, Trainer
from stages.command import run

CODE = Path(instune.__file__).parent
SCRATCH = Path(".scratch/finetune")
SETTINGS = {field.name for field in fields(Settings)}
SECTIONS = {"finetune": Finetune, "prompt": Prompt, "seed": int}


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
    with replacing(out) as partial:
        models.save(model, tokenizer, partial, terminator=terminator)


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
    choice, artefact, base = read_selection(selection), load_artefact(instructions), models.weights_hash(model)
    artefact.check_base_model(base)
    accelerator = Accelerator(cpu=models.pick_device().type == "cpu")
    start = handed_over(instructions) or model
    tokenizer, net = models.load_tokenizer(model), models.load_model(start, device=accelerator.device)
    model_checks.check_positions(net.config, prompt.max_tokens)
    if params.packing:
        attend_by_row(net)
    seq2seq, pool = net.config.is_encoder_decoder, list(chosen_examples(examples, choice))
    known = (choice["selected"], read_tasks(tasks), pool, tokenizer, prompt, params, artefact)
    data, shown = run_rows(*known, model=model, device=accelerator.device, seq2seq=seq2seq, seed=seed)
    gather = _collate(shown, tokenizer, model_checks.decoder_start(net), params.packing)
    facts = {"start": "base" if start == model else "optimize_instructions"}
    facts |= summary(data, weights=params.loss_mask, kind=artefact.kind)
    if accelerator.is_main_process:
        print(spoken(facts), flush=True)
    if params.method == "lora":
        net = add_lora(net, **params.lora.model_dump(), seed=seed)
    settings = Settings(seed=seed, **{name: value for name, value in params if name in SETTINGS})
    inputs = [selection, instructions, tasks, examples, *models.settings_files(model), CODE, Path(__file__)]
    folder = SCRATCH / run_key([params.model_dump(), prompt.model_dump(), seed, base], inputs)
    with _curves(curves) if accelerator.is_main_process else nullcontext(lambda entry: None) as log:
        keywords = {"settings": settings, "validation": data.validation, "folder": folder, "log": log}
        history = Trainer(net, data.rows, gather, accelerator=accelerator, **keywords).run()
    if accelerator.is_main_process:
        terminator = load_template(prompt.template, tokenizer, seq2seq=seq2seq).terminator
        _save(merge_lora(net) if params.method == "lora" else net, tokenizer, out, terminator=terminator)
        write_json(report, facts | outcome(history))
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{out}: {len(history) - 1} steps on {len(data.rows)} rows; look at {report} and {curves}")
    accelerator.end_training()


if __name__ == "__main__":
    run(main, within=alone)
