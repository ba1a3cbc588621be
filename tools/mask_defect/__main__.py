"""What the code published with arXiv 2405.14394 does, where it departs from the paper's Eq. 4 and Eq. 5, in numbers.

Not a stage: `python -m tools.mask_defect --data <folder of *_messages files>`, a minute or two.

Reads:  conversations (LIMA, AlpaGasus, ...), a row each; data/models/base/ (tokenizer)
Writes: reports/mask_defect.json: `markers`: tokenizer -> set -> rows, marker_tokens, share_with_loss by mask (im: Eq. 4, 0;
        released_im: what the script masks); `kl`: gradient norms at each lambda, of the released penalty and of the true one;
        the tables on stdout
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from instune import models
from instune.errors import InputError
from instune.pools import chat
from instune.pools.problems import Problems
from instune.records import Example, Task
from instune.results import write_json
from instune.scratch_model import new_model
from tools.mask_defect.divergence import gradient_norms
from tools.mask_defect.markers import llama_like, rows_under, shares

MASKS = ("im", "released_im")
LAMBDAS = (0.0, 0.01, 0.1, 1.0)  # those of the paper's tables 3 and 7, and none
VOCABULARY = 4000  # of the Llama-like tokenizer
NOISE = 0.2  # standard deviation of what makes the trained model another than the base


def read_sets(folder: Path) -> dict[str, tuple[Task, list[Example]]]:
    """Name -> the task and its conversations, of every file of messages.

    Raises:
        InputError: there is none.
    """
    sets: dict[str, tuple[Task, list[Example]]] = {}
    for task, examples in chat.read(folder, pool="chat", problems=Problems(folder, strict=False)):
        name = task.task_id.partition(":")[2]
        if "messages" in name:
            sets.setdefault(name, (task, []))[1].extend(examples)
    if not sets:
        raise InputError(f"{folder}: no *_messages.jsonl(.gz) of conversations. Give the folder that holds them.")
    return sets


def marker_shares(
    sets: Mapping[str, tuple[Task, list[Example]]], tokenizers: Mapping[str, PreTrainedTokenizerBase]
) -> dict[str, dict[str, Any]]:
    """Tokenizer -> set -> counts."""
    found: dict[str, dict[str, Any]] = {name: {} for name in tokenizers}
    todo = [(name, chosen) for name in tokenizers for chosen in sets]
    for name, chosen in tqdm(todo, unit=" sets"):
        task, examples = sets[chosen]
        rows = {mask: rows_under(mask, {task.task_id: task}, examples, tokenizers[name]) for mask in MASKS}
        found[name][chosen] = shares(rows, tokenizers[name])
    return found


def divergences(tokenizer: PreTrainedTokenizerBase, examples: list[Example]) -> list[dict[str, float]]:
    """Gradient norms on a tiny random model in float64, and a start that is a little off it."""
    base = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="eager").double()
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="eager").double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += NOISE * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    text = "\n".join(example.input for example in examples)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"][:128]])  # (1, T)
    return gradient_norms(model, base, ids, LAMBDAS)


def tables(content: Mapping[str, Any]) -> str:
    """The content as Markdown."""
    lines = [
        "| tokenizer | set | rows | role-marker tokens | with loss, Eq. 4 | with loss, released |",
        "|---|---|---|---|---|---|",
    ]
    for tokenizer, sets in content["markers"].items():
        for name, said in sets.items():
            found = [f"{100 * said['share_with_loss'][mask]:.1f} %" for mask in MASKS]
            lines.append(f"| {tokenizer} | {name} | {said['rows']} | {said['marker_tokens']} | {found[0]} | {found[1]} |")
    lines += ["", "| lambda | gradient of NLL + lambda x released | of NLL + lambda x true KL |", "|---|---|---|"]
    lines += [f"| {row['lambda']:g} | {row['released']:.3g} | {row['true']:.3g} |" for row in content["kl"]]
    return "\n".join(lines)


def main(*, data: Path, model: Path, out: Path) -> None:
    """Count, differentiate, write and print."""
    sets = read_sets(data)
    texts = [message.content for _, examples in sets.values() for example in examples for message in example.messages]
    tokenizers = {"base model": models.load_tokenizer(model), "Llama-like": llama_like(texts, VOCABULARY)}
    content = {
        "markers": marker_shares(sets, tokenizers),
        "kl": divergences(tokenizers["Llama-like"], next(iter(sets.values()))[1][:50]),
    }
    write_json(out, content)
    print(f"{tables(content)}\n\n{out}: written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of *_messages files")
    parser.add_argument("--model", type=Path, default=Path("data/models/base"))
    parser.add_argument("--out", type=Path, default=Path("reports/mask_defect.json"))
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"error: {error}")
