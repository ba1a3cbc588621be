"""Instruction Induction's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import instruction_induction as induction
from instune.pools.problems import BadRecord, Problems

PUBLISHED = Path("../shared/data/instruction_induction")


def read(folder, *, part="induce", strict=True):
    problems = Problems(folder, strict=strict)
    return list(induction.read(folder, pool="ii", problems=problems, part=part)), problems


@pytest.mark.parametrize(
    ("row", "asked", "references"),
    [
        ({"input": " 5 3", "output": "2 ", "x": 5}, " 5 3", ("2 ",)),
        ({"input": "at", "output": "bat", "other_rhymes": ["cat", "bat"]}, "at", ("bat", "cat")),
        ({"input": "x", "output": "not the same", "possible_outputs": ["no"]}, "x", ("not the same", "no")),
        ({"items": ["a", "b"], "concept": "c", "all_common_concepts": ["c", "d"]}, "a, b", ("c", "d")),
    ],
)
def test_each_form_gives_its_question_and_every_answer(row, asked, references):
    assert induction.input_and_references("1", row) == (asked, references)


def test_cause_and_effect_come_in_both_orders_and_always_the_same():
    rows = [induction.input_and_references(str(key), {"cause": "It rained.", "effect": "It was wet."}) for key in range(40)]
    orders = {asked for asked, _ in rows}
    assert orders == {"Sentence 1: It rained. Sentence 2: It was wet.", "Sentence 1: It was wet. Sentence 2: It rained."}
    assert {references for _, references in rows} == {("It rained.",)}
    again = [induction.input_and_references(str(key), {"cause": "It rained.", "effect": "It was wet."}) for key in range(40)]
    assert again == rows


def test_an_unknown_form_is_refused():
    with pytest.raises(BadRecord):
        induction.input_and_references("1", {"question": "?"})


def test_bad_rows_and_tasks_without_instruction_stop_or_are_counted(tmp_path):
    for name in ("annotations", "raw/induce"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "annotations/a.json").write_text(json.dumps({"annotations": ["Do it.", " ", "Do it.", "Just do."]}))
    rows = {"1": {"input": "x", "output": "y"}, "2": ["x"]}
    for name in ("a", "b"):
        (tmp_path / f"raw/induce/{name}.json").write_text(json.dumps({"examples": rows}))
    with pytest.raises(InputError, match=r"raw/induce/a\.json: examples\['2'\]: not a JSON object"):
        read(tmp_path)
    [(task, examples)], problems = read(tmp_path, strict=False)
    assert (task.wordings, len(examples)) == (("Do it.", "Just do."), 1)
    assert problems.counts == {"not a JSON object": 2, "annotations: no file with instructions for this task": 1}


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"{PUBLISHED} is absent")
@pytest.mark.parametrize(("part", "split"), [("induce", "train"), ("execute", "test")])
def test_the_published_tasks_are_read_whole(part, split):
    pairs, problems = read(PUBLISHED, part=part)
    published = {path.stem: json.loads(path.read_text())["examples"] for path in (PUBLISHED / "raw" / part).glob("*.json")}
    assert {task.task_id: len(examples) for task, examples in pairs} == {f"ii:{name}": len(r) for name, r in published.items()}
    assert ({task.split for task, _ in pairs}, problems.counts) == ({split}, {})
    assert all(len(task.wordings) > 3 for task, _ in pairs)
