"""What evaluation asks of a model: greedy generation, and log-likelihoods of a continuation, for one batch of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from instune.model_checks import decoder_start


@dataclass(frozen=True)
class Generation:
    """A greedy continuation; `tokens` counts what was generated, stop token included; finish is `stop` or `length`."""

    text: str
    tokens: int
    finish: str


@dataclass(frozen=True)
class Likelihood:
    """Sum of log-probabilities (nats) over `tokens` tokens, and whether each of them is the most probable one."""

    value: float
    tokens: int
    greedy: bool


def pad(rows: Sequence[Sequence[int]], *, token: int, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) and attention mask (B, T), masked by position, so that a pad token that is also eos does no harm."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), token, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = 1
    return ids, mask


def own_stops(model: PreTrainedModel) -> set[int]:
    """Every eos id that the model's generation configuration names."""
    own = model.generation_config.eos_token_id
    return {*(own if isinstance(own, list) else [own])} - {None}


def make_greedy(model: PreTrainedModel) -> None:
    """Drop the model's generation defaults: `generate` fills in what is left open from them, penalties and sampling included."""
    start = model.generation_config.decoder_start_token_id
    model.generation_config = GenerationConfig(do_sample=False, num_beams=1, decoder_start_token_id=start)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    stops: Sequence[int],
    max_new_tokens: int,
) -> list[Generation]:
    """Greedy continuations of a batch of prompts (token ids), padded on the left; the model was made greedy before."""
    ids, mask = pad(prompts, token=tokenizer.pad_token_id, left=True)
    out = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stops),
        pad_token_id=tokenizer.pad_token_id,
    )
    skip = 1 if model.config.is_encoder_decoder else ids.shape[1]
    generations = []
    for row in out[:, skip:].tolist():
        end = next((place for place, token in enumerate(row) if token in stops), None)
        text = tokenizer.decode(row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        finish = "length" if end is None else "stop"
        generations.append(Generation(text, len(row) if end is None else end + 1, finish))
    return generations


def _likelihood(logits: torch.Tensor, targets: torch.Tensor) -> Likelihood:
    """Of logits (C, V) that predict targets (C,), summed in float32."""
    logits = logits.float()
    chosen = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(1)  # (C,)
    return Likelihood(chosen.sum().item(), len(targets), bool((logits.argmax(1) == targets).all()))


@torch.inference_mode()
def likelihoods(
    model: PreTrainedModel, contexts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]], *, pad_token: int
) -> list[Likelihood]:
    """Log-likelihood of each continuation given its context; logits are computed at the continuations' positions only.

    Causal rows are padded on the right: no position changes, so no model needs position ids. In a seq2seq model the context is
    the encoder's input and the continuation the decoder's.
    """
    targets = [torch.tensor(row, device=model.device) for row in continuations]
    if model.config.is_encoder_decoder:
        ids, mask = pad(contexts, token=pad_token)
        shifted, _ = pad([[decoder_start(model), *row[:-1]] for row in continuations], token=pad_token)  # as in training
        passed = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": shifted}
        out = model(**{name: part.to(model.device) for name, part in passed.items()}, use_cache=False)
        return [_likelihood(logits[: len(row)], row) for logits, row in zip(out.logits, targets, strict=True)]
    joined = [[*context, *continuation] for context, continuation in zip(contexts, continuations, strict=True)]
    ids, mask = pad(joined, token=pad_token)
    first = min(len(context) for context in contexts) - 1  # the logit at place t predicts the token at t + 1
    last = max(len(row) for row in joined) - 1
    kept = torch.arange(first, last, device=model.device)
    out = model(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), logits_to_keep=kept, use_cache=False
    )  # logits (B, last - first, V)
    starts = [len(context) - 1 - first for context in contexts]
    return [
        _likelihood(logits[start : start + len(row)], row) for logits, start, row in zip(out.logits, starts, targets, strict=True)
    ]
