"""Show which tokens carry loss: one page and the terminal. Not a stage: `make preview` runs it.

Reads:  data/pool/tasks.parquet, examples.parquet; data/models/base/ (tokenizer); sections finetune, prompt, targets, seed
Writes: reports/preview.html: for every pool the first example of a source task, and the first of several turns or with a system
        message, under every template that fits the tokenizer
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from instune import config, models
from instune.conversations import is_conversation
from instune.errors import InputError
from instune.prompts import Prompt, TemplateName, choose_wording, load_template
from instune.records import Example, Task, read_examples, read_tasks
from instune.results import write_text
from instune.targets import Targets, source_tasks
from instune.tuning.labels import Row, build_row
from instune.tuning.preview import page, terminal, tokens_of
from stages.command import run
from stages.finetune import Params

SECTIONS = {"finetune": Params, "prompt": Prompt, "targets": Targets, "seed": int}


def first_of_each(tasks: Mapping[str, Task], examples: Iterable[Example]) -> list[Example]:
    """Of every pool the first example with one turn, and the first conversation of several turns or with a system message."""
    first: dict[tuple[str, bool], Example] = {}
    for example in examples:
        first.setdefault((tasks[example.task_id].pool, is_conversation(example)), example)
    return list(first.values())


def main(*, tasks: Path, examples: Path, model: Path, out: Path) -> None:
    """Write the page and print the sample of the template in use."""
    values = config.load(SECTIONS)
    prompt, weights, pool = values["prompt"], values["finetune"].loss_mask, read_tasks(tasks)
    tokenizer, seq2seq = models.load_tokenizer(model), models.load_config(model).is_encoder_decoder
    shown = first_of_each(pool, read_examples(examples, source_tasks(pool, values["targets"])))
    samples, refused = {}, []
    for name in sorted(get_args(TemplateName), key=lambda name: name != prompt.template):
        try:
            template = load_template(name, tokenizer, seq2seq=seq2seq)
        except InputError as error:
            refused.append(str(error))
            continue
        for example in shown:
            task = pool[example.task_id]
            row = build_row(
                task,
                example,
                tokenizer=tokenizer,
                prompt=template,
                wording=choose_wording(task, example, how=prompt.wording, seed=values["seed"]),
                exemplars=task.positive_examples[: prompt.exemplars],
                output=example.references[0],
                max_tokens=prompt.max_tokens,
                max_instruction_tokens=prompt.max_instruction_tokens,
                max_input_tokens=prompt.max_input_tokens,
                instruction_position=prompt.instruction_position,
            )
            title = f"{name}: {task.pool}, {example.example_id}"
            if isinstance(row, Row):
                samples[title] = tokens_of(row, tokenizer, weights)
            else:
                refused.append(f"{title}: {row.reason}")
    for title in [title for title in samples if title.startswith(f"{prompt.template}:")]:
        print(f"{title}\n{terminal(samples[title])}\n")
    print("\n".join(refused))
    given = ", ".join(f"{segment} {weight:g}" for segment, weight in weights.items())
    write_text(out, page(samples, heading=f"Weights: {given}. The template in use is {prompt.template}."))
    print(f"{out}: {len(samples)} samples; open it in a browser")


if __name__ == "__main__":
    run(main)
