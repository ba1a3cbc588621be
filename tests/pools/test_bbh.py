"""BIG-Bench-Hard files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import bbh
from instune.pools.problems import BadRecord, Problems
from instune.records import Exemplar

PUBLISHED = Path("../shared/data/bbh")
WORKED = b"canary\n-----\nSay it.\n\nQ: one?\nA: Let's think.\n\nSo yes.\n\nQ: two?\r\nA: no\n"


@pytest.mark.parametrize(
    ("question", "target", "choices"),
    [
        ("Who?\nOptions:\n(A) Ann - or\n(B) Bob", "(B)", ("(A)", "(B)")),
        ("Valid?\nOptions:\n- valid \n- not valid", "valid", ("valid", "not valid")),
        ("Options:\n(A) x\nAgain: Options:\n- Yes\n- No", "No", ("Yes", "No")),
        ("Options:\n(A) x\n(B) y", "(C)", None),
        ("What is 1 + 1?", "2", None),
    ],
)
def test_listed_options_are_the_choices(question, target, choices):
    assert bbh.find_choices(question, target) == choices


def test_a_worked_prompt_is_read_with_its_reasoning():
    assert bbh.parse_worked(WORKED) == ("Say it.", (Exemplar("one?", "Let's think.\n\nSo yes."), Exemplar("two?", "no")))
    with pytest.raises(BadRecord):
        bbh.parse_worked(b"canary\n-----\nSay it.\n")


def test_description_examples_and_worked_answers_come_together(tmp_path):
    for name in ("bbh", "cot-prompts"):
        (tmp_path / name).mkdir()
    rows = [{"input": " 1\r\n?", "target": "yes "}, {"input": 3, "target": "x"}]
    (tmp_path / "bbh/one.json").write_text(json.dumps({"canary": "c", "examples": rows}))
    (tmp_path / "bbh/two.json").write_text(json.dumps({"examples": rows[:1]}))
    (tmp_path / "cot-prompts/one.txt").write_bytes(WORKED)
    with pytest.raises(InputError, match=r"bbh/one\.json: examples\[1\]: input: expected text"):
        list(bbh.read(tmp_path, pool="p", problems=Problems(tmp_path, strict=True)))
    problems = Problems(tmp_path, strict=False)
    [(task, examples)] = bbh.read(tmp_path, pool="p", problems=problems)
    assert (task.task_id, task.wordings, task.metric, task.split) == ("p:one", ("Say it.",), "exact_match", "test")
    assert len(task.positive_examples) == 2
    assert [(e.example_id, e.input, e.references) for e in examples] == [("p:one:0", " 1\r\n?", ("yes ",))]
    assert problems.counts == {
        "input: expected text": 1,
        "description: none in descriptions.json and no chain-of-thought prompt": 1,
    }


def test_task_files_may_lie_in_the_pool_s_own_folder(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps({"examples": [{"input": "1?", "target": "yes"}]}))
    (tmp_path / "descriptions.json").write_text(json.dumps({"one": "Say it."}))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/two.json").write_text("{}")
    [(task, _)] = bbh.read(tmp_path, pool="p", problems=Problems(tmp_path, strict=True))
    assert task.task_id == "p:one"


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"{PUBLISHED} is absent")
def test_the_published_tasks_are_read_whole():
    pairs = list(bbh.read(PUBLISHED, pool="bbh", problems=Problems(PUBLISHED, strict=True)))
    published = {path.stem: json.loads(path.read_text())["examples"] for path in (PUBLISHED / "tasks").glob("*.json")}
    assert {t.task_id: [{"input": e.input, "target": e.references[0]} for e in examples] for t, examples in pairs} == {
        f"bbh:{name}": rows for name, rows in published.items()
    }
    assert all(len(task.positive_examples) == 3 for task, _ in pairs)
    for task, examples in pairs:
        listed = ["Options:" in example.input for example in examples]
        assert (task.metric == "choice") == all(listed), task.task_id
