"""The preview shows every template that fits the tokenizer, and nothing of a target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ruamel.yaml import YAML

from instune.config import read_params
from instune.records import Message, write_examples, write_tasks
from tools import preview

PARAMS = Path(__file__).parents[2] / "params.yaml"


def write(folder: Path, pool) -> dict[str, Path]:
    """Pool and parameters in a folder; the tool's keyword arguments but the model's."""
    tasks, examples = pool
    write_tasks(folder / "tasks.parquet", tasks.values())
    write_examples(folder / "examples.parquet", reversed(examples))  # a target's example comes first
    params = read_params(PARAMS)
    params["targets"] = {"by": "split", "values": ["test"], "examples_per_task": 2}
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    return {"tasks": folder / "tasks.parquet", "examples": folder / "examples.parquet", "out": folder / "preview.html"}


def test_every_template_of_a_source_task_and_nothing_of_a_target(tmp_path, monkeypatch, capsys, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    keywords = write(tmp_path, tiny_pool)
    preview.main(**keywords, model=model_folder)
    html, printed = keywords["out"].read_text(), capsys.readouterr().out
    for name in ("alpaca", "bare", "chat", "plain", "tk_instruct", "tulu"):
        assert f"<h2>{name}: tiny, task5-4</h2>" in html
    assert "task6" not in html
    assert "task7" not in html
    assert "output: 2 tokens, 2 with loss, weight 2" in printed
    assert "\x1b[" not in printed  # no terminal reads this


def test_a_pool_shows_a_conversation_too_and_names_the_templates_that_cannot(
    tmp_path, monkeypatch, capsys, tiny_pool, model_folder
):
    monkeypatch.chdir(tmp_path)
    tasks, examples = tiny_pool
    turns = tuple(Message(role, role.upper()) for role in ("system", "user", "assistant"))
    talk = replace(examples[0], example_id="talk", input="USER", references=("ASSISTANT",), messages=turns)
    keywords = write(tmp_path, (tasks, [talk, *examples]))
    preview.main(**keywords, model=model_folder)
    html, printed = keywords["out"].read_text(), capsys.readouterr().out
    for name in ("alpaca", "bare", "chat", "plain", "tk_instruct", "tulu"):
        assert f"<h2>{name}: tiny, task5-4</h2>" in html
        reason = f"{name}: tiny, talk: template {name} has no form for several turns or a system message"
        assert (f"<h2>{name}: tiny, talk</h2>" in html) == (name in ("chat", "tulu")) == (reason not in printed)
    assert "system: " in printed
