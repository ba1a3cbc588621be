"""Answers for AlpacaEval and MT-Bench: their formats, turns that follow answers, a killed run."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from instune.errors import InputError
from instune.evaluation import streaming
from instune.models import load_tokenizer
from tools import judged

PARAMS = """
seed: 0
prompt:
  {template: chat, instruction_position: before, wording: any, exemplars: 0,
  max_instruction_tokens: 4, max_input_tokens: 4, max_tokens: 300}
evaluate: {max_new_tokens: 5, batch_size: 1, precision: float32}
"""
ALPACA = [
    {
        "dataset": "helpful_base",
        "instruction": "Name the colour of the fruit in the text.",
        "reference_output": "x",
        "generator": "d",
    },
    {"instruction": "<script>alert('a & b')</script> \u2028 é"},
]
BENCH = [
    {"question_id": 81, "category": "writing", "turns": ["Say yes or no.", "Say it again."]},
    {"question_id": 82, "category": "math", "turns": ["The apple is red. " * 5]},
    {"question_id": 83, "category": "math", "turns": ["a b c", "1 2 3"]},
]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    for name, rows in (("alpaca", ALPACA), ("bench", BENCH)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(form: str, model: Path, name: str = "tiny", out: str = "out.json") -> str:
    instructions = Path("alpaca.jsonl" if form == "alpaca_eval" else "bench.jsonl")
    judged.main(form=form, instructions=instructions, model=model, name=name, new_tokens=9, out=Path(out))
    return Path(out).read_text(encoding="utf-8")


def test_alpaca_eval_reads_a_list_of_instruction_output_generator_dataset(place, model_folder):
    rows = json.loads(run("alpaca_eval", model_folder))
    assert [set(row) for row in rows] == [{"instruction", "output", "generator", "dataset"}] * 2
    assert [row["instruction"] for row in rows] == [row["instruction"] for row in ALPACA]
    assert [row["dataset"] for row in rows] == ["helpful_base", ""]
    assert all(row["generator"] == "tiny" and isinstance(row["output"], str) for row in rows)
    assert not list(Path(".scratch").rglob("*.jsonl"))


def test_mt_bench_reads_a_line_per_question_with_a_choice_of_turns(place, model_folder):
    rows = [json.loads(line) for line in run("mt_bench", model_folder).splitlines()]
    assert [row["question_id"] for row in rows] == [81, 82, 83]
    assert [[len(choice["turns"]) for choice in row["choices"]] for row in rows] == [[2], [1], [2]]
    assert all(row["choices"][0]["index"] == 0 and row["model_id"] == "tiny" and row["tstamp"] == 0.0 for row in rows)
    assert len({row["answer_id"] for row in rows}) == 3


def test_a_turn_is_asked_after_the_answer_to_the_one_before_and_no_message_is_cut(place, model_folder):
    asked = []
    real = streaming.StreamingLM.generate_until

    def spy(self, requests):
        asked.append([request.args[0] for request in requests])
        return real(self, requests)

    with patch.object(streaming.StreamingLM, "generate_until", spy):
        rows = [json.loads(line) for line in run("mt_bench", model_folder).splitlines()]
    tokenizer = load_tokenizer(model_folder)
    for turn, row, prompt in ((0, 0, asked[0][0]), (0, 1, asked[0][1]), (1, 0, asked[1][0]), (1, 2, asked[1][1])):
        given = rows[row]["choices"][0]["turns"]
        messages = []
        for place_of in range(turn + 1):
            messages.append({"role": "user", "content": BENCH[row]["turns"][place_of]})
            messages.append({"role": "assistant", "content": given[place_of]})
        assert prompt == tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    assert [len(prompts) for prompts in asked] == [3, 2]


def test_a_killed_run_repeats_no_answer_and_ends_as_an_unbroken_one(place, model_folder):
    whole = run("mt_bench", model_folder, out="whole.json")
    calls, real = [], streaming.generate

    def generate(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    with patch.object(streaming, "generate", generate):
        with pytest.raises(KeyboardInterrupt):
            run("mt_bench", model_folder)
        assert run("mt_bench", model_folder) == whole
    assert len(calls) == 6  # five prompts, the one that was killed twice


@pytest.mark.parametrize(
    ("form", "line", "message"),
    [
        ("alpaca_eval", "{", "line 3: not JSON"),
        ("alpaca_eval", '{"instruction": ""}', "line 3: alpaca_eval needs instruction, a text, not empty"),
        ("mt_bench", '{"question_id": 1, "turns": "a"}', "line 4: mt_bench needs turns, a list of texts"),
        ("mt_bench", '{"turns": ["a"]}', "line 4: mt_bench needs question_id"),
        ("mt_bench", '{"question_id": 1, "turns": ["a", 2]}', "line 4: mt_bench needs turns, a list of texts"),
    ],
)
def test_a_bad_line_is_named(place, model_folder, form, line, message):
    path = Path("alpaca.jsonl" if form == "alpaca_eval" else "bench.jsonl")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=message):
        run(form, model_folder)
    assert not Path("out.json").exists()


def test_several_turns_need_a_template_that_has_a_form_for_them(place, model_folder):
    Path("params.yaml").write_text(PARAMS.replace("template: chat", "template: plain"))
    with pytest.raises(InputError, match="template plain has no form for several turns"):
        run("mt_bench", model_folder)
