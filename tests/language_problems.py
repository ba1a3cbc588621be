"""Small bilevel problems on language models: a soft instruction in the inner loss, plain rows in the outer one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.t5.modeling_t5 import T5LayerNorm

from instune.bilevel.instructions import evaluation_mode
from instune.bilevel.vectors import plus
from instune.tuning.batches import collate
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import WeightedLoss

VOCABULARY, SOFT_TOKENS = 16, 2
TASKS = ("task0", "task1")


@dataclass
class Problem:
    """theta and phi, with the inner loss of both and the outer loss of theta."""

    theta: list[Tensor]
    phi: Tensor
    inner: Callable[[], Tensor]
    outer: Callable[[], Tensor]


def tiny_llama(*, seed: int = 0, width: int = 32, attention: str = "eager", dropout: float = 0.0) -> LlamaForCausalLM:
    """Two layers, float32 (its norms compute in float32 whatever comes in), embeddings tied."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        attention_dropout=dropout,
        attn_implementation=attention,
    )
    return _new(LlamaForCausalLM, config, seed).eval()


def double_gpt2(*, seed: int = 0, width: int = 8) -> GPT2LMHeadModel:
    """Two layers, float64 throughout, eager attention, embeddings tied."""
    sizes = {"n_embd": width, "n_inner": width, "n_layer": 2, "n_head": 2, "n_positions": 8, "vocab_size": VOCABULARY}
    sizes |= {"bos_token_id": None, "eos_token_id": None, "layer_norm_epsilon": 0.1}
    return _new(GPT2LMHeadModel, GPT2Config(**sizes, attn_implementation="eager"), seed).double().eval()


def double_t5(*, seed: int = 0, width: int = 8) -> T5ForConditionalGeneration:
    """Two layers each way, float64 throughout: T5's own norm computes its variance in float32, so torch's takes its place."""
    sizes = {"d_model": width, "d_kv": width // 2, "d_ff": width, "num_layers": 2, "num_heads": 2}
    sizes |= {"feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 0.1, "relative_attention_num_buckets": 4}
    config = T5Config(vocab_size=VOCABULARY, **sizes, decoder_start_token_id=0, attn_implementation="eager")
    model = _new(T5ForConditionalGeneration, config, seed)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, T5LayerNorm):
                setattr(module, name, torch.nn.RMSNorm(width, eps=config.layer_norm_epsilon))
    return model.double().eval()


def _new(kind: type[PreTrainedModel], config, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config)


def batch_of(model: PreTrainedModel, rows: list[TrainingRow], prompts: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
    """The model's tensors for these rows, with a soft prompt per row where some are given."""
    start = model.config.decoder_start_token_id if model.config.is_encoder_decoder else None
    return collate(rows, pad_id=0, decoder_start_id=start, soft_prompts=prompts)


def rows_of(
    model: PreTrainedModel, *, soft: int, seed: int, inputs: int = 2, length: int = 3, output: int = 1
) -> list[TrainingRow]:
    """Random inputs, each in two tasks that answer it differently, so that the soft prompts have something to say."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(inputs):
        text = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
        for task in TASKS:
            answer = torch.randint(1, VOCABULARY, (output,), generator=generator).tolist()
            ids, source = [0] * soft + text + answer, soft + length
            labels = [IGNORE_INDEX] * source + answer
            weights = [0.0] * source + [1.0] * output
            seq2seq = model.config.is_encoder_decoder
            rows.append(TrainingRow(ids, labels, weights, float(output), task, (0, soft), source if seq2seq else 0))
    return rows


def problem(model: PreTrainedModel, *, seed: int = 0, ridge: float = 0.0, at_minimum: bool = False) -> Problem:
    """Mean NLL on both levels plus ridge / 2 |theta - centre|^2 on the inner one; dropout is off, whatever the model's mode.

    The centre is 0, or, `at_minimum`, the one that makes the present theta stationary.

    phi is (2, SOFT_TOKENS, d), a prompt per task.
    """
    theta = [parameter for parameter in model.parameters() if parameter.requires_grad]
    table = model.get_input_embeddings().weight.detach()
    generator = torch.Generator().manual_seed(seed)
    phi = torch.randn(len(TASKS), SOFT_TOKENS, table.shape[1], generator=generator, dtype=torch.float64)
    phi = phi.to(table.dtype).requires_grad_()
    inner_rows, outer_rows = (rows_of(model, soft=soft, seed=seed + soft) for soft in (SOFT_TOKENS, 0))

    def loss(rows: list[TrainingRow], *, prompts: bool) -> Tensor:
        batch = batch_of(model, rows, tuple(phi[TASKS.index(row.task_id)] for row in rows if prompts))
        with evaluation_mode(model):
            return WeightedLoss(model)(batch) / sum(row.share for row in rows)

    def inner() -> Tensor:
        plain = loss(inner_rows, prompts=True)
        return plain + ridge / 2 * sum((tensor - point).square().sum() for tensor, point in zip(theta, centre, strict=True))

    centre = [torch.zeros_like(tensor) for tensor in theta]
    if at_minimum:
        slope = torch.autograd.grad(loss(inner_rows, prompts=True), theta, materialize_grads=True)
        centre = [point.detach() for point in plus(theta, slope, 1 / ridge)]
    return Problem(theta, phi, inner, lambda: loss(outer_rows, prompts=False))
