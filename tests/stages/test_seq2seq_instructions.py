"""An encoder-decoder through both stages: instructions learned by the one are what the other trains with."""

from __future__ import annotations

from pathlib import Path

import finetuning
import optimizing
import pytest
import torch
from ruamel.yaml import YAML
from tokenizers import processors
from transformers import T5Config, T5ForConditionalGeneration

from instune.bilevel.artefact import load_artefact
from instune.models import load_model, save
from instune.results import read_json, write_json
from instune.scratch_model import train_tokenizer
from stages import finetune, optimize_instructions

PROMPT = optimizing.PROMPT | {"template": "plain"}


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory) -> Path:
    """A random two-layer T5 with a tokenizer that ends a text with </s>."""
    tokenizer = train_tokenizer(["Name the colour of the fruit in the text. Input: Output: red\n"] * 20, vocab_size=350)
    tokenizer.add_special_tokens({"eos_token": "</s>", "pad_token": "<|pad|>"})
    special = [("</s>", tokenizer.convert_tokens_to_ids("</s>"))]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=special)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(
            T5Config(vocab_size=len(tokenizer), **sizes, dropout_rate=0.1, decoder_start_token_id=0)
        )
    folder = tmp_path_factory.mktemp("t5")
    save(model, tokenizer, folder)
    return folder


def learned(pool, folder: Path, method: str, **changes):
    """Run optimize_instructions; returns its artefact."""
    paths = optimizing.paths_of(pool, folder)
    optimizing.write_params(method, **changes)
    params = YAML().load(Path("params.yaml"))
    params["prompt"] = PROMPT
    YAML().dump(params, Path("params.yaml"))
    optimize_instructions.main(**paths)
    return load_artefact(paths["out"])


@pytest.mark.parametrize(
    ("method", "changes", "shown"),
    [
        ("embedder_direct", {}, ("instruction", 3)),
        ("embedder_conversion", {"embedder": optimizing.OPTIMIZE["embedder"] | {"convert_by": "encoder"}}, ("instruction", 3)),
        ("extractor_direct", {"gradient_checkpointing": True}, ("examples", None)),
    ],
)
def test_what_a_seq2seq_model_learns_is_what_it_is_trained_with(
    tmp_path, monkeypatch, tiny_pool, t5_folder, method, changes, shown
):
    monkeypatch.chdir(tmp_path)
    still = learned(tiny_pool, t5_folder, method, **changes, outer_learning_rate=1e-12)
    artefact = learned(tiny_pool, t5_folder, method, **changes)
    assert artefact.task_ids == tuple(f"task{number}" for number in range(5))
    assert all((tensor - still.tensors[name]).abs().max() > 1e-3 for name, tensor in artefact.tensors.items())
    workspace = finetuning.workspace_of(tiny_pool, t5_folder) | {"instructions": Path("data/instructions")}
    write_json(Path("selection.json"), {"selected": list(finetuning.SELECTED)})
    params = YAML().load(Path("params.yaml"))
    params["prompt"] = PROMPT
    params["finetune"]["packing"] = False
    YAML().dump(params, Path("params.yaml"))
    finetune.main(**workspace)
    report, (segment, length) = read_json(Path("finetune.json")), shown
    assert report["instructions"] == method
    tokens, rows = report["tokens"], report["rows"]["training"]
    assert tokens[segment] == length * rows if length else tokens[segment] > 4 * rows
    assert tokens["with_loss"] == tokens["output"]
    before, after = (load_model(folder).state_dict() for folder in (t5_folder, Path("tuned")))
    assert any(not torch.equal(before[name], after[name]) for name in before)
