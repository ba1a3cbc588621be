"""What we measure equals what lm_eval's own command line measures: its tasks, and the pool's, exported."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_tasks import write_tasks
from lm_eval.api.instance import Instance
from makers import make_example, make_task

from instune.evaluation.journal import Journal
from instune.evaluation.predictions import read_predictions
from instune.evaluation.streaming import StreamingLM
from instune.models import load_model, load_tokenizer
from instune.records import write_examples
from instune.records import write_tasks as write_pool
from stages import benchmark, evaluate
from tools import export_tasks

PARAMS = """
seed: 3
targets: {by: split, values: [test], examples_per_task: 3}
prompt: {template: chat, instruction_position: before, wording: any, exemplars: 1,
  max_instruction_tokens: 40, max_input_tokens: 40, max_tokens: 200}
evaluate: {max_new_tokens: 7, batch_size: 4, precision: float32}
benchmarks: {tasks: [tiny_choice, tiny_letters, tiny_answer, tiny_word, tiny_text], include: tiny, limit: null, num_fewshot: null,
  chat_template: TEMPLATE, backend: hf, batch_size: BATCH, precision: float32, unsafe_code: false}
"""
CHAT = ("--apply_chat_template", "--fewshot_as_multiturn", "true")


def peer(model: Path, out: Path, tasks: str, *flags: str) -> dict[str, list[dict]]:
    """Samples of each task by `python -m lm_eval run`, in the order of documents."""
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    options = ["--tasks", tasks, "--include_path", "benchmarks", "--batch_size", "2", "--device", "cpu", "--seed", "3"]
    command += [*options, "--log_samples", "--output_path", str(out), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, env=environment, timeout=300, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, list[dict]] = {}
    for path in sorted(out.rglob("samples_*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        name = path.name.removeprefix("samples_").rpartition("_")[0]
        found[name] = sorted(rows, key=lambda row: (row["doc_id"], row["filter"]))
    return found


def ours(model: Path, template: str, batch: str, out: str) -> dict[str, list[dict]]:
    Path("params.yaml").write_text(PARAMS.replace("TEMPLATE", template).replace("BATCH", batch))
    benchmark.main(model=model, yaml=Path("benchmarks"), out=Path(out))
    rows = [json.loads(line) for line in (Path(out) / "samples.jsonl").read_text().splitlines()]
    return {name: [row for row in rows if row["task"] == name] for name in sorted({row["task"] for row in rows})}


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_pool) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("benchmarks/im_nlp").mkdir(parents=True)
    write_tasks(Path("benchmarks/tiny"))
    Path("params.yaml").write_text(PARAMS.replace("TEMPLATE", "none").replace("BATCH", "2"))
    choice = replace(make_task(8, split="test"), metric="choice")
    choices = ("red", "blue or green", "1 2 3")
    examples = [replace(make_example(choice, number, output=choices[number]), choices=choices) for number in range(3)]
    write_pool(Path("tasks.parquet"), [*tiny_pool[0].values(), choice])
    write_examples(Path("examples.parquet"), [*tiny_pool[1], *examples])
    return tmp_path


def assert_same_answers(one: dict[str, list[dict]], other: dict[str, list[dict]]) -> None:
    assert set(one) == set(other)
    for name in one:
        for mine, wanted in zip(one[name], other[name], strict=True):
            assert (mine["doc_id"], mine["filter"], mine["prompt_hash"]) == tuple(
                wanted[key] for key in ("doc_id", "filter", "prompt_hash")
            )
            for answer, right in zip(flat(mine["resps"]), flat(wanted["resps"]), strict=True):
                assert answer == (right if isinstance(right, str) else pytest.approx(right, abs=1e-4))


def flat(responses: list) -> list[str | float]:
    """Numbers and texts; the command line writes numbers as text."""
    if isinstance(responses, list):
        return [leaf for part in responses for leaf in flat(part)]
    if isinstance(responses, str) and responses in ("True", "False"):
        return [float(responses == "True")]
    try:
        return [float(responses)]
    except ValueError:
        return [responses]


def test_tasks_give_the_answers_of_the_command_line_under_a_chat_template(place, model_folder):
    theirs = peer(model_folder, place / "peer", "tiny_choice,tiny_letters,tiny_answer,tiny_word", *CHAT)
    found = ours(model_folder, "multiturn", "2", "ours")
    assert set(found) == {*theirs, "tiny_text"}
    assert_same_answers({name: found[name] for name in theirs}, theirs)


def test_batches_of_1_16_and_automatic_ones_give_the_same_answers(place, model_folder):
    alone = ours(model_folder, "none", "1", "alone")
    assert_same_answers(ours(model_folder, "none", "16", "together"), alone)
    assert_same_answers(ours(model_folder, "none", "auto", "automatic"), alone)


def test_tasks_and_exported_pool_tasks_give_the_answers_of_the_command_line(place, model_folder, capsys):
    inputs = {"tasks": Path("tasks.parquet"), "examples": Path("examples.parquet"), "model": model_folder}
    export_tasks.main(**inputs, out=Path("benchmarks/pool"))
    assert "9 prompts end in white space" in capsys.readouterr().out
    theirs = peer(model_folder, place / "peer", "tiny_choice,tiny_letters,tiny_answer,tiny_word,tiny_text,pool")
    found = ours(model_folder, "none", "2", "ours")
    assert set(found) == {name for name in theirs if name.startswith("tiny")}
    assert_same_answers(found, {name: theirs[name] for name in found})
    evaluate.main(**inputs, out=Path("predictions"))
    rows = {row.place: row for row in read_predictions(Path("predictions"))}
    lm = StreamingLM(
        load_model(model_folder), load_tokenizer(model_folder), Journal(place / "a.jsonl"), batch_size=4, max_tokens=200
    )
    assert sum(compare_pool_task(lm, rows, name, samples) for name, samples in theirs.items() if name.startswith("pool")) == 21


def compare_pool_task(lm: StreamingLM, rows: dict, name: str, samples: list[dict]) -> int:
    """Of each document the generation, or the log-likelihoods: lm-eval's and here ours take in the prompt's last line end."""
    _, task, kind = name.split("_")
    for sample in samples:
        row, answers = rows[task, sample["doc"]["example_id"]], flat(sample["resps"])
        assert sample["doc"]["prompt"] == row.prompt
        if kind == "answer":
            assert answers == [row.output]
            continue
        asked = row.choices if kind == "choice" else [sample["doc"]["reference"]]
        requests = [Instance("loglikelihood", {}, (row.prompt.rstrip(), "\n" + text), 0, ("t", 0, 1)) for text in asked]
        assert answers[::2] == pytest.approx([value for value, _ in lm.loglikelihood(requests)], abs=1e-4)
    return len(samples)
