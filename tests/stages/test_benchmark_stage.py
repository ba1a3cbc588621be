import json
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from benchmark_tasks import write_tasks
from lm_eval.models.huggingface import HFLM
from two_processes import ROOT, by_two

from instune.errors import InputError
from instune.models import save
from stages import benchmark

PARAMS = """
seed: 0
benchmarks: {tasks: [TASKS], include: tiny, limit: null, num_fewshot: null, chat_template: none, backend: hf, batch_size: 2,
  precision: float32, unsafe_code: false}
"""
EVERY = "tiny, tiny_answer, tiny_word, tiny_text"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "benchmarks/im_nlp", "benchmarks/im_nlp")
    write_tasks(Path("benchmarks/tiny"))
    configure(EVERY)
    return tmp_path


def configure(tasks: str, **others: str) -> None:
    text = PARAMS.replace("TASKS", tasks)
    for key, value in others.items():
        start = text.index(f"{key}: ") + len(key) + 2
        end = min(place for mark in ",}" if (place := text.find(mark, start)) > 0)
        text = text[:start] + value + text[end:]
    Path("params.yaml").write_text(text)


def run(model: Path, out: str = "results") -> dict:
    benchmark.main(model=model, yaml=Path("benchmarks"), out=Path(out))
    return json.loads((Path(out) / "results.json").read_text())


def samples(out: str = "results") -> list[dict]:
    return [json.loads(line) for line in (Path(out) / "samples.jsonl").read_text().splitlines()]


def test_tasks_and_groups_have_metrics_counts_and_standard_errors(place, model_folder):
    results = run(model_folder)
    assert sorted(results["tasks"]) == ["tiny_answer", "tiny_choice", "tiny_letters", "tiny_text", "tiny_word"]
    choice = results["tasks"]["tiny_choice"]
    assert (choice["n"], choice["of"], choice["shots"]) == (5, 5, 2)
    assert choice["metrics"]["acc,none"]["higher_is_better"] is True
    assert choice["metrics"]["acc,none"]["stderr"] >= 0
    assert set(results["tasks"]["tiny_answer"]["metrics"]) == {"exact_match,first-word", "exact_match,whole"}
    assert results["tasks"]["tiny_text"]["metrics"]["byte_perplexity,none"]["higher_is_better"] is False
    scores = [results["tasks"][name]["metrics"]["acc,none"]["value"] for name in ("tiny_choice", "tiny_letters")]
    assert results["groups"]["tiny"]["metrics"]["acc,none"]["value"] == pytest.approx(sum(scores) / 2)
    rows = samples()
    assert [(row["task"], row["doc_id"], row["filter"]) for row in rows] == sorted(
        (row["task"], row["doc_id"], row["filter"]) for row in rows
    )
    assert len(rows) == 5 * 6  # tiny_answer has two filters
    assert not list(Path(".scratch").rglob("*.jsonl"))


def test_a_second_run_writes_the_same_bytes(place, model_folder):
    run(model_folder)
    first = {path.name: path.read_bytes() for path in Path("results").iterdir()}
    run(model_folder)
    assert {path.name: path.read_bytes() for path in Path("results").iterdir()} == first
    assert str(place).encode() not in b"".join(first.values())


def test_no_tasks_write_an_empty_result_without_a_model(place):
    configure("")
    assert run(Path("no/model")) == {"tasks": {}, "groups": {}}
    assert samples() == []


def test_a_killed_run_asks_nothing_twice_and_ends_as_an_unbroken_one(place, model_folder):
    run(model_folder, "whole")
    asked, real = [], HFLM._model_call

    def call(self, *arguments, **settings):
        asked.append(arguments)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments, **settings)

    with patch.object(HFLM, "_model_call", call), pytest.raises(KeyboardInterrupt):
        run(model_folder)
    (journal,) = Path(".scratch").rglob("*.jsonl")
    known = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert known
    kept = journal.read_text()
    with patch.object(benchmark.shutil, "rmtree"), patch.object(HFLM, "_model_call", call):
        run(model_folder)
    assert journal.read_text().startswith(kept)
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) > len(known)
    for name in ("results.json", "samples.jsonl"):
        assert (Path("results") / name).read_bytes() == (Path("whole") / name).read_bytes()


def test_two_models_never_share_an_answer(place, model_folder, tiny_model, tokenizer):
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.mul_(-1.5)
    save(tiny_model, tokenizer, place / "other")
    run(place / "other", "alone")
    with patch.object(HFLM, "_model_generate", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run(model_folder)  # its journal stays
    run(place / "other", "after")
    for name in ("results.json", "samples.jsonl"):
        assert (Path("after") / name).read_bytes() == (Path("alone") / name).read_bytes()


def test_a_model_of_nan_fails_with_the_task(place, tiny_model, tokenizer):
    with torch.no_grad():
        tiny_model.lm_head.weight.fill_(float("nan"))
    save(tiny_model, tokenizer, place / "nan")
    configure("tiny_text")
    with pytest.raises(InputError, match=r"benchmark task tiny_text: byte_perplexity .* is nan"):
        run(place / "nan")
    assert not Path("results").exists()


@pytest.mark.parametrize("template", ["one_turn", "multiturn"])
def test_a_chat_template_shows_few_shot_examples_in_one_turn_or_as_turns(place, model_folder, template):
    configure("tiny_choice", chat_template=template, limit="1")
    run(model_folder)
    (row,) = samples()
    context = row["arguments"][0][0]
    assert context.count("<|im_start|>user") == (1 if template == "one_turn" else 3)
    assert context.endswith("<|im_start|>assistant\n")


def test_what_cannot_run_is_refused_before_a_model_is_read(place):
    for tasks, others, message in (
        ("im_humaneval_t01", {}, "task im_humaneval_t01: runs the code that the model writes"),
        ("tiny", {"include": "tyni"}, "benchmarks/tyni is no folder"),
        ("tiny", {"include": ".."}, "lies outside benchmarks/"),
        ("tiny", {"backend": "vllm"}, "vllm is not installed"),
    ):
        configure(tasks, **others)
        with pytest.raises(InputError, match=message.replace("[", r"\[")):
            run(Path("no/model"))


def test_a_task_without_its_data_is_named_before_a_model_is_read(place):
    (place / "benchmarks/tiny/test.jsonl").unlink()
    with pytest.raises(InputError, match="benchmark task tiny_choice: cannot be loaded"):
        run(Path("no/model"))


def test_a_generation_that_leaves_no_room_is_refused(place, model_folder):
    path = place / "benchmarks/tiny/tiny_answer.yaml"
    path.write_text(path.read_text().replace("max_gen_toks: 9", "max_gen_toks: 100000"))
    with pytest.raises(InputError, match="tiny_answer: asks for 100000 new tokens"):
        run(model_folder)


def test_two_processes_give_the_results_of_one(place, model_folder):
    alone = run(model_folder)
    done = by_two("-m", "stages.benchmark", options={"model": model_folder, "yaml": Path("benchmarks"), "out": Path("two")})
    assert done.returncode == 0, done.stderr
    together = json.loads(Path("two/results.json").read_text())
    for name, task in alone["tasks"].items():
        assert together["tasks"][name]["n"] == task["n"]
        for metric, found in task["metrics"].items():
            assert together["tasks"][name]["metrics"][metric]["value"] == pytest.approx(found["value"], abs=1e-4)
    assert [(row["task"], row["doc_id"]) for row in samples("two")] == [(row["task"], row["doc_id"]) for row in samples()]


def test_a_number_of_examples_replaces_a_tasks_own_and_they_are_drawn_by_the_seed(place, model_folder):
    configure("tiny_choice", num_fewshot="1", limit="1")
    assert run(model_folder)["tasks"]["tiny_choice"]["shots"] == 1
    assert samples()[0]["arguments"][0][0].count("Q: ") == 2
    configure("tiny_choice", num_fewshot="0", limit="1")
    run(model_folder)
    assert samples()[0]["arguments"][0][0] == "Q: Which colour?\nA:"
