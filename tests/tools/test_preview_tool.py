"""The preview shows every template that fits the tokenizer, and nothing of a target."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from instune.config import read_params
from instune.records import write_examples, write_tasks
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
    for name in ("alpaca", "chat", "plain", "tk_instruct", "tulu"):
        assert f"<h2>{name}: tiny, task5-4</h2>" in html
    assert "task6" not in html
    assert "task7" not in html
    assert "output: 2 tokens, 2 with loss, weight 2" in printed
