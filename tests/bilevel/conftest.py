"""A fold on the tiny pool with the tiny model."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from instune.bilevel.batches import draws_of
from instune.bilevel.instructions import Passes
from instune.bilevel.loop import Fold
from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.embedder_direct import EmbedderDirect
from instune.bilevel.schedule import Split
from instune.prompts import Prompt, load_template

SOFT_TOKENS = 4
TRAIN, TEST = ["task0", "task1", "task2"], ["task3", "task4", "task5"]


@pytest.fixture
def prompt() -> Prompt:
    return Prompt(
        template="chat",
        instruction_position="before",
        wording="any",
        exemplars=0,
        max_instruction_tokens=40,
        max_input_tokens=40,
        max_tokens=120,
    )


@pytest.fixture
def material(tiny_pool, tokenizer, tiny_model, prompt) -> Material:
    """Everything that instructions of the tiny pool are made from."""
    tasks, examples = tiny_pool
    by_task = {task_id: [example for example in examples if example.task_id == task_id] for task_id in tasks}
    table = tiny_model.get_input_embeddings().weight.detach().clone()
    return Material(tasks, by_task, tokenizer, table, load_template("chat", tokenizer), prompt, 0)


@pytest.fixture
def draws(material):
    """A function of what rows show: the draws of the tiny pool."""

    return partial(draws_of, material)


@pytest.fixture
def new_fold(material, draws):
    """A function of a model: the fold that trains on tasks 0 to 2 with learnable instructions and is tested on tasks 3 to 5."""

    def make(model, name="fold0", learnable=None, split=None, **passes):
        if learnable is None:
            learnable = EmbedderDirect(material, TRAIN, model.device, soft_tokens=SOFT_TOKENS, initial="definition")
        return Fold(
            model,
            learnable,
            inner=draws(learnable.show),
            human=draws(),
            split=split or Split(TRAIN, TEST),
            passes=Passes(material.tokenizer.pad_token_id, **passes),
            name=name,
        )

    return make


@pytest.fixture
def double_model(tokenizer):
    """A two-layer GPT-2 in float64 throughout: a Llama's norms compute in float32 whatever comes in."""
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=128, attn_implementation="eager")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPT2LMHeadModel(config).double().eval()
