"""A fold on the tiny pool with the tiny model."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from instune.bilevel.batches import Draws
from instune.bilevel.instructions import initial_prompts
from instune.bilevel.loop import Fold
from instune.prompts import Prompt, load_template
from instune.tuning.labels import loss_weights
from instune.tuning.rows import RowBuilder

SOFT_TOKENS = 4


@pytest.fixture
def prompt() -> Prompt:
    return Prompt(template="chat", wording="any", exemplars=0, max_instruction_tokens=40, max_input_tokens=40, max_tokens=120)


@pytest.fixture
def new_fold(tiny_pool, tokenizer, prompt):
    """A function of a model: the fold that trains on tasks 0 to 2 with soft instructions and is tested on tasks 3 to 5."""
    tasks, examples = tiny_pool
    by_task = {task_id: [example for example in examples if example.task_id == task_id] for task_id in tasks}

    def draws(soft_tokens):
        builder = RowBuilder(
            tasks,
            tokenizer,
            load_template("chat", tokenizer),
            prompt,
            weights=loss_weights("it"),
            normalize_by="weights",
            soft_tokens=dict.fromkeys(tasks, soft_tokens) if soft_tokens else {},
            seed=0,
        )
        return Draws(builder, by_task, seed=0)

    def make(model, name="fold0"):
        train, test = ["task0", "task1", "task2"], ["task3", "task4", "task5"]
        initial = initial_prompts(
            [tasks[task_id] for task_id in train],
            tokenizer,
            model.get_input_embeddings().weight,
            soft_tokens=SOFT_TOKENS,
            initial="definition",
            seed=0,
        )
        pad = tokenizer.pad_token_id
        return Fold(model, initial, soft=draws(SOFT_TOKENS), human=draws(0), train=train, test=test, name=name, pad_id=pad)

    return make


@pytest.fixture
def double_model(tokenizer):
    """A two-layer GPT-2 in float64 throughout: a Llama's norms compute in float32 whatever comes in."""
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=128, attn_implementation="eager")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPT2LMHeadModel(config).double().eval()
