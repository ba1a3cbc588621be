"""Bring the base model: unpack it from a package, refer to a Hub or local model, or train a small one from scratch.

Reads:  data/pool/tasks.parquet, examples.parquet (text of source tasks, only for `from_scratch`); sections base_model, targets
Writes: data/models/base/: config.json, model.safetensors, tokenizer files, or model.json with name and commit
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from instune import config, models, scratch_model
from instune.config import Section
from instune.devices import alone
from instune.files import replacing
from instune.records import read_examples, read_tasks
from instune.revisions import commit_of
from instune.targets import Targets, source_tasks
from stages.command import run


class Packaged(Section):
    source: Literal["packaged"]  # carried by a Python package of requirements-models.txt
    name: Literal["smollm2-135m-instruct"]


class Hub(Section):
    source: Literal["hub"]
    name: str  # organisation/model
    revision: Annotated[str, Field(min_length=1)]  # commit, or a branch or tag, whose commit is recorded when the stage runs


class Local(Section):
    source: Literal["local"]
    name: str  # folder with config.json, weights and tokenizer


class FromScratch(Section):
    source: Literal["from_scratch"]  # trained on the text of source tasks only
    vocab_size: PositiveInt  # tokens
    hidden_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    steps: PositiveInt  # optimizer steps
    batch_size: PositiveInt  # windows per step
    length: PositiveInt  # tokens per window
    learning_rate: PositiveFloat
    seed: int


Params = Annotated[Packaged | Hub | Local | FromScratch, Field(discriminator="source")]
SECTIONS = {"base_model": Params, "targets": Targets}


def _from_scratch(params: FromScratch, targets: Targets, tasks: Path, examples: Path, folder: Path) -> None:
    pool = read_tasks(tasks)
    sources = source_tasks(pool, targets)
    texts = [wording for task_id in sources for wording in pool[task_id].wordings]
    texts += [f"{example.input}\n{example.references[0]}" for example in read_examples(examples, sources)]
    tokenizer = scratch_model.train_tokenizer(texts, params.vocab_size)
    model = scratch_model.new_model(
        tokenizer, hidden_size=params.hidden_size, layers=params.layers, heads=params.heads, seed=params.seed
    ).to(models.pick_device())
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([token for row in rows for token in (*row, tokenizer.eos_token_id)])  # (N,)
    scratch_model.pretrain(
        model,
        ids,
        steps=params.steps,
        batch_size=params.batch_size,
        length=min(params.length, len(ids) - 1),
        learning_rate=params.learning_rate,
        seed=params.seed,
    )
    models.save(model, tokenizer, folder)


def main(*, tasks: Path, examples: Path, out: Path) -> None:
    """Write the base model's folder, or a reference to it."""
    values = config.load(SECTIONS)
    params = values["base_model"]
    with replacing(out) as partial:
        partial.mkdir()
        if params.source == "packaged":
            models.convert_packaged(params.name, partial)
        elif params.source == "from_scratch":
            _from_scratch(params, values["targets"], tasks, examples, partial)
        elif params.source == "hub":
            models.write_reference(partial, params.name, commit_of(params.name, params.revision, key="base_model.revision"))
        else:
            models.write_reference(partial, params.name, None)
    print(f"{out}: {params.source} model, weights {models.weights_hash(out)}")


if __name__ == "__main__":
    run(main, within=alone)
