"""The command that measures products and precisions, on a tiny model and pool."""

import json
from pathlib import Path

import pytest

from instune.records import write_examples, write_tasks
from tools import hypergradient_accuracy as tool


@pytest.fixture
def pool_folder(tiny_pool, tmp_path) -> Path:
    tasks, examples = tiny_pool
    write_tasks(tmp_path / "tasks.parquet", tasks.values())
    write_examples(tmp_path / "examples.parquet", examples)
    return tmp_path


def run(pool: Path, model: Path, *options: str) -> None:
    files = ["--tasks", f"{pool}/tasks.parquet", "--examples", f"{pool}/examples.parquet", "--model", f"{model}"]
    tool.command([*files, "--out", f"{pool}/accuracy.json", *options])


def test_every_setting_is_measured_beside_the_noise(pool_folder, model_folder, capsys):
    run(pool_folder, model_folder, "--batches", "2", "--batch-size", "2")
    result = json.loads((pool_folder / "accuracy.json").read_text())
    shown = capsys.readouterr().out
    found = {(row["terms"], row["product"], row["precision"], row["step"]): row for row in result["settings"]}
    assert all(len(row["cosines"]) == len(row["ratios"]) == 2 for row in found.values())
    assert len(result["between"]["0"]) == len(result["between"]["1"]) == 1
    for terms in (0, 1):
        close = found[terms, "central_difference", "float32", result["difference_step"]]
        assert min(close["cosines"]) > 0.999
        assert max(result["between"][str(terms)]) < 0.999
        rough = found[terms, "double_backward", "bfloat16", None]
        assert 0.9 < min(rough["cosines"]) < min(close["cosines"])
    assert "K = 1: cosine of two independent batches" in shown
    assert "central_difference float32 step" in shown


def test_one_batch_is_refused_in_words(pool_folder, model_folder):
    with pytest.raises(SystemExit, match="error: --batches: 1 is too few"):
        run(pool_folder, model_folder, "--batches", "1")
