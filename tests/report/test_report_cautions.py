from dataclasses import replace

import pytest

from instune.evaluation.predictions import write_predictions
from instune.report.cautions import cautions
from instune.report.inputs import read_pairs
from instune.report.page import render
from tests.report.made import TASKS, load, predictions
from tests.report.parsed import Page


@pytest.fixture
def inputs(tmp_path):
    return load(tmp_path)


def test_the_made_run_is_told_what_to_distrust_and_the_page_says_the_same(inputs):
    said = cautions(inputs)
    assert said == [
        "7 of 12 answers of the base model were cut at 32 new tokens (evaluate.max_new_tokens).",
        "One seed (0): the intervals hold the spread between target tasks, not between seeds. Sweep seed before you believe a"
        " difference.",
        "Only 3 target tasks: the intervals are as good as these tasks stand for those that you care about.",
        "The playground is generated text: its scores say nothing about natural language.",
        "The base model is small, instruction-tuned already and was kept in 4 bits: other models may gain otherwise.",
        "Records of the pools that were left out: 3; the reasons stand under Data.",
        "Training rows that were dropped: 1; the reasons stand under Skipped, dropped, truncated.",
        "Evaluated rows lost text to the length limits: input 2.",
    ]
    assert set(said) <= set(Page(render(inputs)).texts)


def test_a_model_that_emits_nothing_is_told_first(inputs, tmp_path):
    silent = {f"{task}-{number}": " \n" if number else "" for task in TASKS for number in range(4)}
    write_predictions(tmp_path / "tuned", predictions("tuned", silent))
    changed = replace(inputs, pairs=read_pairs(tmp_path / "base", tmp_path / "tuned"))
    assert cautions(changed)[0] == "The tuned model answered nothing to 12 of 12 prompts."
    assert "empty" in Page(render(changed)).texts


def test_benchmark_documents_without_an_answer_are_told(inputs):
    for name, empty in (("qa", 3), ("qa_german", 10)):
        inputs.tuned_benchmarks["tasks"][name]["empty"] = empty
    said = "Benchmarks: the tuned model answered nothing to 13 of 20 documents of 2 tasks; benchmarks.chat_template is none."
    assert said in cautions(inputs)


def test_metrics_that_disagree_and_a_floor_that_is_not_beaten_are_told(inputs):
    inputs.scores["differences"]["tuned-base"]["nll"] = {"mean": 0.5, "low": 0.25, "high": 0.75, "tasks": 3}
    inputs.scores["differences"]["tuned-majority"]["exact_match"] = {"mean": 0.1, "low": -0.1, "high": 0.3, "tasks": 3}
    said = cautions(inputs)
    assert "The metrics disagree: better in exact match, ROUGE-L, worse in NLL per reference token." in said
    assert "The tuned model is not shown to beat what needs no model: majority output." in said


def test_overlap_counts_in_chosen_tasks_only_and_not_where_it_was_dropped(inputs):
    pairs = [{"target": "t", "source": source, "exact": 5, "near": 7} for source in ("task0_source", "another")]
    card = {"playground": inputs.card["playground"] | {"overlap": pairs}}
    told = "Chosen source tasks hold target examples: 5 pairs of examples have equal inputs, 7 nearly equal ones."
    assert any(sentence.startswith(told) for sentence in cautions(replace(inputs, card=card)))
    dropped = replace(inputs, card=card, params=inputs.params | {"ingest": {"strict": True, "overlap": "drop"}})
    assert not any("Chosen source tasks hold" in sentence for sentence in cautions(dropped))


def test_one_task_an_oracle_and_mended_metrics_are_told(inputs):
    inputs.scores["models"]["tuned"]["fixed"] = {"exact_match": 0.6, "rouge_l": 0.7, "changed": 4}
    scores = inputs.scores | {"tasks_scored": 1}
    params = inputs.params | {
        "select": {"method": "category", "aggregation": "vote", "top_k": 2},
        "pools": {"mine": {"reader": "plain"}},
    }
    params |= {"base_model": {"source": "hub", "name": "org/model"}}
    changed = replace(inputs, scores=scores, params=params)
    said = cautions(changed)
    assert "One target task: there is no interval, and no difference can be shown." in said
    assert "select.method: category looks up what each target is: an oracle, no selector." in said
    assert any(sentence.startswith("4 of 12 answers of the tuned model score otherwise") for sentence in said)
    assert not any("playground" in sentence or "4 bits" in sentence for sentence in said)
    rows = Page(render(changed)).rows
    assert ["tuned", "exact match", "50.0", "60.0", "4"] in rows
    assert not any(row[:2] == ["base", "exact match"] for row in rows)
