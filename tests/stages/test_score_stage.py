import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.evaluation.predictions import Prediction, write_predictions
from instune.records import write_examples, write_tasks
from instune.results import read_json
from stages import score


@pytest.fixture
def rows(tmp_path, monkeypatch, tiny_pool) -> list[Prediction]:
    """Predictions on three examples of each of two tasks, and the pool in files."""
    tasks, examples = tiny_pool
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("score: {confidence: 0.9}\n")
    write_tasks(Path("tasks.parquet"), tasks.values())
    write_examples(Path("examples.parquet"), examples)
    asked = [item for item in examples if item.task_id in ("task6", "task7") and int(item.example_id[-1]) < 3]
    return [
        Prediction(item.task_id, item.example_id, "?", "h", "blue", ["red"], None, None, 3.0, 2, 9, 4, "stop", "m", [], False)
        for item in asked
    ]


def run(base: list[Prediction], tuned: list[Prediction]) -> dict:
    write_predictions(Path("base"), base)
    write_predictions(Path("tuned"), tuned)
    return score_files()


def score_files() -> dict:
    score.main(
        tasks=Path("tasks.parquet"),
        examples=Path("examples.parquet"),
        base=Path("base"),
        tuned=Path("tuned"),
        metrics=Path("reports/metrics.json"),
        scores=Path("reports/scores.json"),
        table=Path("reports/scores.csv"),
    )
    return read_json(Path("reports/scores.json"))


def test_metrics_hold_the_two_models_overall_scores_and_nothing_else(rows):
    right = [replace(row, output="Red.", nll=1.0) if row.task_id == "task6" else row for row in rows]
    run(rows, right)
    assert read_json(Path("reports/metrics.json")) == {
        "base": {"exact_match": 0.0, "rouge_l": 0.0, "nll": 1.5},
        "tuned": {"exact_match": 0.5, "rouge_l": 0.5, "nll": 1.0},
    }


def test_floors_stand_beside_the_models(rows):
    scores = run(rows, rows)
    assert scores["confidence"] == 0.9
    assert scores["floors"]["majority"]["overall"]["exact_match"]["mean"] == 1
    assert scores["floors"]["copied_demonstration"]["overall"]["exact_match"]["mean"] == 0
    wanted = 2 * (1 / 5) * 1 / (1 / 5 + 1)  # "red" in "The apple 1 is red."
    assert scores["floors"]["copied_input"]["overall"]["rouge_l"]["mean"] == pytest.approx(wanted)
    assert scores["differences"]["tuned-majority"]["exact_match"]["mean"] == -1


def test_twice_gives_the_same_bytes(rows):
    run(rows, rows)
    first = [Path("reports", name).read_bytes() for name in ("metrics.json", "scores.json", "scores.csv")]
    run(rows, rows)
    assert [Path("reports", name).read_bytes() for name in ("metrics.json", "scores.json", "scores.csv")] == first


def test_other_prompts_are_no_comparison(rows):
    other = [replace(rows[0], prompt_hash="i"), *rows[1:]]
    with pytest.raises(InputError, match="task task6, example task6-0: answered with different prompts"):
        run(rows, other)
    with pytest.raises(InputError, match="task task7, example task7-2: answered by one of the two models only"):
        run(rows, rows[:-1])
    assert not Path("reports").exists()


def test_examples_that_the_pool_does_not_have_are_refused(rows):
    strange = [replace(row, example_id="x" + row.example_id) for row in rows]
    with pytest.raises(InputError, match="has no example xtask6-0 of task task6"):
        run(strange, strange)


def test_empty_or_broken_predictions_are_refused(rows):
    with pytest.raises(InputError, match="holds no prediction"):
        run([], rows)
    write_predictions(Path("base"), rows)
    with Path("base/predictions.jsonl").open("a") as file:
        file.write('{"task_id": "task6"}\n')
    with pytest.raises(InputError, match="line 7: no prediction"):
        score.read_predictions(Path("base"))


def test_a_model_that_says_nothing_scores_zero(rows):
    silent = [replace(row, output="", output_tokens=1) for row in rows]
    scores = run(silent, silent)
    assert scores["models"]["tuned"]["overall"]["rouge_l"]["mean"] == 0


def test_a_likelihood_that_is_not_a_number_fails_by_task_and_example_and_leaves_nothing(rows):
    write_predictions(Path("tuned"), rows)
    text = Path("tuned/predictions.jsonl").read_text().splitlines()
    broken = [*text[:4], text[4].replace('"nll": 3.0', '"nll": NaN'), text[5]]
    Path("tuned/predictions.jsonl").write_text("\n".join(broken) + "\n")
    write_predictions(Path("base"), rows)
    with pytest.raises(InputError, match="task task7, example task7-1: a score is nan"):
        score_files()
    assert not Path("reports").exists()


def test_an_output_of_ten_megabytes_and_markup_in_outputs_are_scored(rows):
    attack = "<script>alert('red')</script>"
    large = [replace(rows[0], output="red " * 2_500_000), replace(rows[1], output=attack), *rows[2:]]
    scores = run(rows, large)
    overlaps = [2 / 2_500_001, 2 * (1 / 4) / (1 / 4 + 1)]  # one word in 2,500,000; "red" among script alert red script
    assert scores["models"]["tuned"]["tasks"]["task6"]["rouge_l"] == pytest.approx(sum(overlaps) / 3)
    assert all(Path("reports", name).stat().st_size < 1e5 for name in ("scores.json", "scores.csv"))


@pytest.mark.parametrize("value", ["0", "1.0", "95", "high"])
def test_a_confidence_that_is_no_share_is_refused(rows, value):
    Path("params.yaml").write_text(f"score: {{confidence: {value}}}\n")
    with pytest.raises(InputError, match=r"score\.confidence"):
        run(rows, rows)


def test_scoring_needs_no_torch():
    code = "import sys, stages.score; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
