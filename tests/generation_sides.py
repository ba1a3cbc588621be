"""The same prompts answered by this repository's evaluation and by a bare loop, for the benchmark of both."""

from __future__ import annotations

import argparse
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune.evaluation.journal import Journal
from instune.evaluation.streaming import StreamingLM
from instune.models import autocast_dtype, convert_packaged, load_model, load_tokenizer, pick_device
from tests.finetune_sides import clock, conversations, small_model

Answer = tuple[str, int]  # text, number of tokens generated
LONGEST = 512  # tokens of a prompt


def chat_prompts(tokenizer: PreTrainedTokenizerBase, number: int) -> list[str]:
    """The first so many prompts that are not too long, in the tokenizer's chat template."""
    found: list[str] = []
    for prompt, _ in conversations():
        turns = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        if len(tokenizer(text, add_special_tokens=False).input_ids) <= LONGEST:
            found.append(text)
        if len(found) == number:
            return found
    raise ValueError(f"{number} prompts are more than the {len(found)} that there are")


def bare(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str], *, batch_size: int, new_tokens: int
) -> list[Answer]:
    """What a short script does: sort by length, pad on the left, generate, decode."""
    rows = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
    order, answers = sorted(range(len(rows)), key=lambda place: -len(rows[place])), {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [rows[place] for place in places]}, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            out = model.generate(
                **batch.to(model.device),
                max_new_tokens=new_tokens,
                do_sample=False,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        for place, row in zip(places, out[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
            ids = row[: row.index(tokenizer.eos_token_id) + 1] if tokenizer.eos_token_id in row else row
            answers[place] = tokenizer.decode(ids, skip_special_tokens=True), len(ids)
    return [answers[place] for place in range(len(rows))]


class Ours:
    """The evaluation's path from prompts to answers, with a journal of its own for every run."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, batch_size: int, new_tokens: int
    ) -> None:
        self.settings = {"until": [tokenizer.eos_token], "max_gen_toks": new_tokens, "do_sample": False}
        self.runs = count()
        self.open = lambda: StreamingLM(
            model,
            tokenizer,
            Journal(folder / str(next(self.runs)) / "answers.jsonl"),
            batch_size=batch_size,
            max_tokens=LONGEST + new_tokens,
        )

    def in_batch_order(self, prompts: list[str]) -> list[str]:
        """Prompts of one length as our batches take them, so that a stable sort makes the same batches."""
        lm = self.open()
        return sorted(prompts, key=lambda prompt: lm.generation_request(prompt, self.settings).key)

    def __call__(self, prompts: list[str]) -> list[Answer]:
        lm = self.open()
        asked = [
            Instance("generate_until", {}, (prompt, self.settings), place, ("t", place, 1))
            for place, prompt in enumerate(prompts)
        ]
        lm.generate_until(asked)
        answers = [lm.generation(lm.generation_request(prompt, self.settings)) for prompt in prompts]
        return [(answer.text, answer.tokens) for answer in answers]


def locate(options: argparse.Namespace, scratch: Path) -> Path:
    """The model's folder."""
    folder = options.model or Path("data/models/base")
    if not folder.exists():
        folder = scratch / "base"
        convert_packaged("smollm2-135m-instruct", folder)
    return small_model(folder, scratch / "small") if options.small else folder


def measure_generation(options: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn.

    Raises:
        AssertionError: an answer differs.
    """
    torch.set_num_threads(1)
    sizes = {"batch_size": options.batch_size, "new_tokens": options.new_tokens}
    with tempfile.TemporaryDirectory() as scratch:
        folder, device = locate(options, Path(scratch)), pick_device()
        dtype = getattr(torch, options.precision) if options.precision else autocast_dtype(device)
        model, tokenizer = load_model(folder, device=device).to(dtype), load_tokenizer(folder)
        ours = Ours(model, tokenizer, Path(scratch, "journals"), **sizes)
        prompts = ours.in_batch_order(chat_prompts(tokenizer, options.prompts))
        sides = {"ours": ours, "bare generate loop": lambda texts: bare(model, tokenizer, texts, **sizes)}
        seconds, answers = dict.fromkeys(sides, float("inf")), {}
        for side in sides.values():
            side(prompts[: options.batch_size])  # warm
        for _ in range(options.repeats):
            for name, side in sides.items():
                start = clock()
                answers[name] = side(prompts)
                seconds[name] = min(seconds[name], clock() - start)
    assert answers["ours"] == answers["bare generate loop"]
    tokens = sum(number for _, number in answers["ours"])
    named = options.model.name if options.model else "SmolLM2-135M-Instruct"
    size = "7 million random parameters" if options.small else named
    each = {name: round(1000 * value / tokens, 3) for name, value in seconds.items()}
    return {
        "ours": each.pop("ours"),
        "peers": each,
        "ratio": round(seconds["ours"] / seconds["bare generate loop"], 3),
        "checked": f"the same {len(prompts)} texts, of {tokens} tokens",
        "size": f"{size}, {len(prompts)} prompts of at most {LONGEST} tokens, batches of {options.batch_size}, "
        f"{options.new_tokens} new tokens, {str(dtype).split('.')[1]}",
    }
