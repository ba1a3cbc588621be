import json
import math

import pytest
from benchmark_tasks import write_tasks

from instune.errors import InputError
from instune.evaluation import benchmark_results, benchmarks

SAMPLE = {
    "doc_id": 0,
    "filter": "none",
    "doc": {"text": "<script>\u2028é"},
    "resps": [["a"]],
    "acc": 1.0,
    "arguments": [["a b", " c"]],
}


def found(**metrics) -> dict:
    """lm-eval's results of one task and a group of it."""
    values = {"name": "piqa", "alias": "PIQA", "sample_len": 3, "acc,none": 0.5, "acc_stderr,none": 0.1} | metrics
    return {
        "results": {"piqa": values, "im_nlp_understanding": {"name": "x", "alias": "x"}},
        "group_subtasks": {"im_nlp_understanding": ["piqa"]},
        "configs": {"piqa": {"metadata": {"config_source": "/somewhere"}}},
        "versions": {"piqa": 1.0},
        "n-shot": {"piqa": 10},
        "higher_is_better": {"piqa": {"acc": True, "ter": False}},
        "n-samples": {"piqa": {"original": 9, "effective": 3}},
        "samples": {
            "piqa": [SAMPLE | {"doc_id": 2, "arguments": [["a " * 20, "c"]] * 2}, SAMPLE, SAMPLE | {"filter": "all"}],
            "abc": [SAMPLE],
        },
    }


def summarized(results: dict) -> dict:
    return benchmark_results.summary(results, str.split, 10)


def test_a_task_keeps_counts_metrics_and_their_direction_and_nothing_of_the_machine():
    summary = summarized(found(**{"ter,none": 120.0, "ter_stderr,none": "N/A"}))
    assert summary["tasks"]["piqa"] == {
        "n": 3,
        "of": 9,
        "shots": 10,
        "cut": 1,
        "empty": 0,
        "version": 1.0,
        "metrics": {
            "acc,none": {"value": 0.5, "stderr": 0.1, "higher_is_better": True},
            "ter,none": {"value": 120.0, "stderr": None, "higher_is_better": False},
        },
    }
    assert summary["groups"] == {"im_nlp_understanding": {"tasks": ["piqa"], "metrics": {}}}
    assert "/somewhere" not in json.dumps(summary)


@pytest.mark.parametrize(
    ("arguments", "cut"),
    [
        (["a " * 10, "b"], 0),  # 11 words: the last is never read
        (["a " * 11, "b"], 1),
        (["a " * 7, {"max_gen_toks": 3}], 0),
        (["a " * 8, {"max_gen_toks": 3}], 1),
        (["a" * 500, {"max_gen_toks": 3}], 0),
        (["a " * 500], 0),  # read in windows
    ],
)
def test_a_prompt_is_cut_where_the_model_cannot_read_it_with_its_answer(arguments, cut):
    assert benchmark_results.cut_documents([{"doc_id": 0, "arguments": [arguments]}], str.split, 10) == cut


@pytest.mark.parametrize(
    ("answers", "empty"),
    [
        ([[[""]]], 1),
        ([[[" \n"]], [[""]]], 2),
        ([[["", " "]]], 1),
        ([[["", "a"]]], 0),  # asked twice, answered once
        ([[[(-1.5, False)], [(-2.5, True)]]], 0),  # likelihoods of two choices
        ([[[-3.5]]], 0),
    ],
)
def test_a_document_without_any_answer_is_counted(answers, empty):
    samples = [{"doc_id": number, "resps": resps} for number, resps in enumerate(answers)]
    assert benchmark_results.empty_documents([*samples, *samples]) == empty  # a line for every filter


def test_the_papers_means_come_with_its_groups_only():
    results = found(**{"acc_norm,none": 0.25})
    assert summarized(results)["im_nlp"]["groups"]["understanding"]["values"]["piqa"] == 25.0
    del results["results"]["im_nlp_understanding"]
    assert "im_nlp" not in summarized(results)


@pytest.mark.parametrize("value", [math.nan, math.inf, "N/A"])
def test_a_metric_that_is_no_finite_number_is_refused_with_its_task(value):
    with pytest.raises(InputError, match=r"benchmark task piqa: acc \(none\) is "):
        summarized(found(**{"acc,none": value}))


def test_a_standard_error_that_is_no_number_is_none():
    for value in (math.nan, "N/A"):
        metrics = summarized(found(**{"acc_stderr,none": value}))["tasks"]["piqa"]["metrics"]
        assert metrics["acc,none"]["stderr"] is None


def test_samples_are_a_line_each_by_task_document_and_filter():
    lines = list(benchmark_results.sample_lines(found()))
    rows = [json.loads(line) for line in lines]
    assert [(row["task"], row["doc_id"], row["filter"]) for row in rows] == [
        ("abc", 0, "none"),
        ("piqa", 0, "all"),
        ("piqa", 0, "none"),
        ("piqa", 2, "none"),
    ]
    assert all(line.count("\n") == 1 and line.isascii() for line in lines)
    assert rows[0]["doc"] == SAMPLE["doc"]


def test_results_are_written_whole_or_not_at_all(tmp_path):
    def broken():
        yield "{}\n"
        raise KeyboardInterrupt

    benchmark_results.write(tmp_path / "out", benchmark_results.NOTHING, iter(["{}\n"]))
    with pytest.raises(KeyboardInterrupt):
        benchmark_results.write(tmp_path / "out", {"tasks": {"x": {}}, "groups": {}}, broken())
    assert json.loads((tmp_path / "out/results.json").read_text()) == benchmark_results.NOTHING


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.yaml", "task: [", "no task can be read"),
        ("bad.yaml", "include: nowhere", "no task can be read"),
        ("bad.yaml", "dataset_path: json", "names neither task nor group"),
        ("zzz.yaml", "task: tiny_word", "'tiny_word' is the name of .*tiny_word.yaml too"),
    ],
)
def test_a_file_that_lm_eval_would_pass_over_in_silence_is_refused(tmp_path, name, text, message):
    folder = write_tasks(tmp_path / "tasks")
    benchmarks.check_folder(folder)
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=message):
        benchmarks.check_folder(folder)
