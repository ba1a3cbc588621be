"""Show which tokens carry loss: one page and the terminal. Not a stage: `make preview` runs it.

Reads:  data/pool/tasks.parquet, examples.parquet; data/models/base/ (tokenizer); sections finetune, prompt, targets, seed
Writes: reports/preview.html: for every pool the first example of a source task, and the first of several turns or with a system
        message, under every template that fits the tokenizer
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from transformers import PreTrainedTokenizerBase

from instune import config, models
from instune.conversations import is_conversation
from instune.errors import InputError
from instune.prompts import Prompt, TemplateName, load_template
from instune.records import Example, Task, read_examples, read_tasks
from instune.report.mask import page, terminal
from instune.report.tables import plain
from instune.results import write_text
from instune.targets import Targets, source_tasks
from instune.tuning.preview import tokens_of
from instune.tuning.rows import Counts, RowBuilder
from instune.tuning.settings import Finetune
from instune.tuning.tokens import Token
from stages.command import run

SECTIONS = {"finetune": Finetune, "prompt": Prompt, "targets": Targets, "seed": int}


def first_of_each(tasks: Mapping[str, Task], examples: Iterable[Example]) -> list[Example]:
    """Of every pool the first example with one turn, and the first conversation of several turns or with a system message."""
    first: dict[tuple[str, bool], Example] = {}
    for example in examples:
        first.setdefault((tasks[example.task_id].pool, is_conversation(example)), example)
    return list(first.values())


def shown_under_each(
    examples: Iterable[Example],
    pool: Mapping[str, Task],
    tokenizer: PreTrainedTokenizerBase,
    values: Mapping[str, Any],
    *,
    seq2seq: bool,
) -> tuple[dict[str, list[Token]], list[str]]:
    """Title -> tokens under every template, the one in use first, and what could not be shown, with the reason."""
    params, prompt, samples, refused = values["finetune"], values["prompt"], {}, []
    masked = {"weights": params.loss_mask, "turns": params.loss_turns, "normalize_by": "weights"}  # which leaves rows unscaled
    for name in sorted(get_args(TemplateName), key=lambda name: name != prompt.template):
        try:
            template = load_template(name, tokenizer, seq2seq=seq2seq)
            builder = RowBuilder(pool, tokenizer, template, prompt, **masked, seed=values["seed"])
        except InputError as error:
            refused.append(f"{name}: {error}")
            continue
        for example in examples:
            title, counts = f"{name}: {pool[example.task_id].pool}, {example.example_id}", Counts()
            row = builder.build(example, counts)
            if row is None:
                refused += [f"{title}: {reason}" for reason in counts.dropped]
            else:
                samples[title] = tokens_of(row, tokenizer)
    return samples, refused


def main(*, tasks: Path, examples: Path, model: Path, out: Path) -> None:
    """Write the page and print the samples."""
    values, pool = config.load(SECTIONS), read_tasks(tasks)
    tokenizer, seq2seq = models.load_tokenizer(model), models.load_config(model).is_encoder_decoder
    shown = first_of_each(pool, read_examples(examples, source_tasks(pool, values["targets"])))
    samples, refused = shown_under_each(shown, pool, tokenizer, values, seq2seq=seq2seq)
    for title, tokens in samples.items():
        print(f"{title}\n{terminal(tokens, colored=sys.stdout.isatty())}\n")
    print("\n".join(refused))
    given, used = plain(config.read_params()["finetune"]["loss_mask"]), values["prompt"].template
    write_text(out, page(samples, heading=f"finetune.loss_mask: {given}. Template in use: {used}.", refused=refused))
    print(f"{out}: {len(samples)} samples; open it in a browser")


if __name__ == "__main__":
    run(main)
