import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from makers import make_example
from transformers import T5Config, T5ForConditionalGeneration

from instune.errors import InputError
from instune.evaluation import streaming
from instune.evaluation.predictions import read_predictions
from instune.models import load_model, save, weights_hash
from instune.prompts import load_template
from instune.records import write_examples, write_tasks
from instune.tuning.labels import build_row
from stages import evaluate

PARAMS = """
seed: 0
targets: {by: split, values: [test], examples_per_task: 3}
prompt:
  {template: chat, instruction_position: before, wording: any, exemplars: 1,
  max_instruction_tokens: 40, max_input_tokens: 40, max_tokens: 200}
evaluate: {max_new_tokens: 5, batch_size: 4, precision: float32}
"""
MARKUP = "<script>alert('a & b')</script> \u2028 é"


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_pool) -> Path:
    tasks, examples = tiny_pool
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    write_tasks(Path("tasks.parquet"), tasks.values())
    examples = [replace(item, input=MARKUP) if item.example_id == "task6-0" else item for item in examples]
    write_examples(Path("examples.parquet"), examples)
    return tmp_path


def run(model: Path, out: str = "predictions/base") -> Path:
    evaluate.main(model=model, tasks=Path("tasks.parquet"), examples=Path("examples.parquet"), out=Path(out))
    return Path(out)


def test_the_first_examples_of_the_target_tasks_are_answered_in_order(place, model_folder):
    rows = read_predictions(run(model_folder))
    assert [row.place for row in rows] == [(f"task{task}", f"task{task}-{number}") for task in (6, 7) for number in range(3)]
    assert {row.model for row in rows} == {weights_hash(model_folder)}
    assert all(row.references == ["red"] and row.finish in ("stop", "length") and row.nll > 0 for row in rows)
    assert all(row.prompt.count("<|im_start|>user") == 1 for row in rows)
    assert not list(Path(".scratch").rglob("*.jsonl"))


def test_nll_counts_the_terminator(place, model_folder, tokenizer):
    row = read_predictions(run(model_folder))[1]
    ids = tokenizer(row.prompt + "red<|im_end|>", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        scores = load_model(model_folder)(torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = -sum(scores[place - 1, ids[place]].item() for place in range(row.prompt_tokens, len(ids)))
    assert row.nll == pytest.approx(wanted, abs=1e-4)
    assert row.nll_tokens == len(ids) - row.prompt_tokens


def test_a_second_run_writes_the_same_bytes(place, model_folder):
    first = (run(model_folder) / "predictions.jsonl").read_bytes()
    assert (run(model_folder) / "predictions.jsonl").read_bytes() == first


def test_two_models_never_share_an_answer(place, model_folder, tiny_model, tokenizer, monkeypatch):
    other = place / "other"
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.mul_(-1.5)
    save(tiny_model, tokenizer, other)
    alone = (run(other, "alone") / "predictions.jsonl").read_bytes()
    with monkeypatch.context() as patched:  # the first model is killed after all its generations: its journal stays
        patched.setattr(streaming, "likelihoods", kill)
        with pytest.raises(KeyboardInterrupt):
            run(model_folder)
    assert list(Path(".scratch").rglob("answers.jsonl"))
    assert (run(other, "beside") / "predictions.jsonl").read_bytes() == alone
    assert (run(model_folder) / "predictions.jsonl").read_bytes() != alone


def kill(*_, **__):
    raise KeyboardInterrupt


def test_a_killed_run_leaves_no_output_and_repeats_no_generation(place, model_folder, monkeypatch):
    whole = (run(model_folder, "whole") / "predictions.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(streaming, "likelihoods", kill)
        with pytest.raises(KeyboardInterrupt):
            run(model_folder)
    assert not Path("predictions").exists()
    monkeypatch.setattr(streaming, "generate", kill)
    assert (run(model_folder) / "predictions.jsonl").read_bytes() == whole


def test_changed_parameters_do_not_take_up_old_answers(place, model_folder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(streaming, "likelihoods", kill)
        with pytest.raises(KeyboardInterrupt):
            run(model_folder)
    Path("params.yaml").write_text(PARAMS.replace("max_new_tokens: 5", "max_new_tokens: 2"))
    assert {row.output_tokens for row in read_predictions(run(model_folder))} <= {1, 2}


def test_markup_in_data_stays_text_and_one_line(place, model_folder):
    path = run(model_folder) / "predictions.jsonl"
    assert len(path.read_text(encoding="ascii").splitlines()) == 6
    assert MARKUP in json.loads(path.read_text().splitlines()[0])["prompt"]


def test_choice_tasks_carry_a_likelihood_for_each_choice(place, model_folder, tiny_pool):
    tasks, _ = tiny_pool
    task = replace(tasks["task7"], metric="choice")
    write_tasks(Path("tasks.parquet"), [*list(tasks.values())[:7], task])
    example = replace(make_example(task, 0), choices=("red", "blue", "green apple"))
    write_examples(Path("examples.parquet"), [example])
    (row,) = read_predictions(run(model_folder))
    assert row.choices == ["red", "blue", "green apple"]
    assert len(row.choice_loglikelihoods) == 3
    assert max(row.choice_loglikelihoods) < 0
    assert row.choice_loglikelihoods[0] > -row.nll  # the reference's sum holds the terminator too


def test_a_cut_choice_is_marked_and_an_empty_one_refused(place, model_folder, tiny_pool):
    tasks, _ = tiny_pool
    task = replace(tasks["task7"], metric="choice")
    write_tasks(Path("tasks.parquet"), [*list(tasks.values())[:7], task])
    example = replace(make_example(task, 0), choices=("red", "a very long colour " * 60))
    write_examples(Path("examples.parquet"), [example])
    assert read_predictions(run(model_folder))[0].truncated == ["choices"]
    write_examples(Path("examples.parquet"), [replace(example, choices=("red", ""))])
    with pytest.raises(InputError, match="task task7, example task7-0: choice 1 is empty"):
        run(model_folder)


def test_other_questions_do_not_share_a_scratch_folder(place, model_folder, monkeypatch):
    monkeypatch.setattr(streaming, "likelihoods", kill)
    for text in (PARAMS, PARAMS, PARAMS.replace("exemplars: 1", "exemplars: 0")):
        Path("params.yaml").write_text(text)
        with pytest.raises(KeyboardInterrupt):
            run(model_folder)
    assert len(list(Path(".scratch/evaluate").iterdir())) == 2


def test_targets_without_examples_are_refused(place, model_folder, tiny_pool):
    write_examples(Path("examples.parquet"), [item for item in tiny_pool[1] if item.task_id == "task0"])
    with pytest.raises(InputError, match="none of the 2 target tasks has an example"):
        run(model_folder)


def test_rows_longer_than_the_models_context_are_refused(place, model_folder):
    Path("params.yaml").write_text(PARAMS.replace("max_tokens: 200", "max_tokens: 4000"))
    with pytest.raises(InputError, match=r"prompt\.max_tokens: 4000 .* is 2048"):
        run(model_folder)


def test_weights_with_nan_are_refused_and_nothing_is_written(place, tiny_model, tokenizer):
    with torch.no_grad():
        tiny_model.model.norm.weight.fill_(float("nan"))
    save(tiny_model, tokenizer, place / "broken")
    with pytest.raises(InputError, match=r"task task6, example task6-0: .* not finite"):
        run(place / "broken")
    assert not Path("predictions").exists()


def test_a_folder_without_a_model_is_refused(place):
    (place / "empty").mkdir()
    with pytest.raises(InputError, match=r"config\.json"):
        run(place / "empty")


def test_seq2seq_models_are_evaluated_as_they_are_trained(place, tokenizer, tiny_pool):
    size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    shape = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, pad_token_id=0, **size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(shape).eval()
    save(model, tokenizer, place / "t5")
    with pytest.raises(InputError, match="chat has no form for an encoder-decoder"):
        run(place / "t5")
    Path("params.yaml").write_text(PARAMS.replace("template: chat", "template: plain"))
    rows = read_predictions(run(place / "t5"))
    assert len(rows) == 6
    tasks, examples = tiny_pool
    example = next(item for item in examples if item.example_id == rows[1].example_id)
    row = build_row(
        tasks[example.task_id],
        example,
        tokenizer=tokenizer,
        prompt=load_template("plain", tokenizer, seq2seq=True),
        wording=next(text for text in tasks[example.task_id].wordings if text in rows[1].prompt),
        exemplars=tasks[example.task_id].positive_examples[:1],
        output="red",
        max_tokens=200,
        max_instruction_tokens=40,
        max_input_tokens=40,
    )
    source, target = row.input_ids[: row.source], row.input_ids[row.source :]
    with torch.no_grad():
        loss = model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss.item()
    assert (rows[1].prompt_tokens, rows[1].nll_tokens) == (len(source), len(target))
    assert rows[1].nll == pytest.approx(loss * len(target), abs=1e-3)
