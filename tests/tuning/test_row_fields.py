"""What a row says of itself beside its ids: whose it is, its text, and what holds where nothing is said."""

from __future__ import annotations

from makers import make_example, make_task

from instune.prompts import load_template, render
from instune.tuning.labels import Row, build_row

LIMITS = {"max_tokens": 200, "max_instruction_tokens": 100, "max_input_tokens": 100}
TASK = make_task(3)


def test_a_row_names_its_task_and_its_example_and_holds_what_was_tokenized(tokenizer):
    example, prompt = make_example(TASK, 2), load_template("plain", tokenizer)
    row = build_row(TASK, example, tokenizer=tokenizer, prompt=prompt, wording="Say it", output="red", **LIMITS)
    assert (row.task_id, row.example_id) == (TASK.task_id, example.example_id)
    spans = render(TASK, example, prompt=prompt, wording="Say it", output="red")
    assert row.text == "".join(span.text for span in spans)
    assert (row.source, row.merged, row.released) == (0, False, None)
    assert set(row.turns) == {0, 1}


def test_a_row_of_which_no_more_is_said_is_whole_of_a_causal_model_and_without_soft_instruction():
    row = Row([5, 6], [0, 5], "task3")
    assert (row.soft, row.truncated, row.source, row.merged) == ((0, 0), (), 0, False)
    assert (row.example_id, row.text, row.turns, row.released) == ("", "", [], None)
