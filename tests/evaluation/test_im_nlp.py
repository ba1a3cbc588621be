"""The IM paper's benchmarks: every name, metric and shot stands in lm-eval's index; the means are those of the paper."""

from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory

from instune.errors import InputError
from instune.evaluation import benchmarks, im_nlp

FOLDER = Path(__file__).parents[2] / "benchmarks/im_nlp"
SHOTS = {  # section 4.1 and appendix B; those of gsm8k_cot and BBH are lm-eval's own
    "piqa": 10,
    "hellaswag": 10,
    "winogrande": 5,
    "arc_easy": 25,
    "arc_challenge": 25,
    "gsm8k_cot": 8,
    "mmlu_anatomy": 5,
    "mmlu_philosophy": 5,
    "bbh_cot_fewshot_navigate": 3,
}


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    return benchmarks.manager_of([FOLDER], ["im_nlp"])


@pytest.fixture(scope="module")
def tasks(manager) -> dict[str, dict]:
    """Configuration of every task of the group, by name, as lm-eval would build it, without its data."""
    built = {}

    def build(self, entry, overrides):
        config = self._load_full_config(entry, overrides)
        built[config["task"]] = config
        task = MagicMock(spec=ConfigurableTask)
        task.task_name = config["task"]
        return task

    with patch.object(TaskFactory, "_build_task", build):
        manager.load(["im_nlp"])
    return built


def entries():
    return [entry for group in im_nlp.GROUPS.values() for entry in group.values()]


def test_eighteen_benchmarks_in_six_groups_resolve_and_their_files_load(manager, tasks):
    assert len(im_nlp.GROUPS) == 6
    assert sum(map(len, im_nlp.GROUPS.values())) == 17  # WMT 2014 and 2016 are one number in the authors' code
    assert set(benchmarks.members(manager, "im_nlp")) == set(tasks)
    assert len([name for name in tasks if name.startswith("mmlu_")]) == 57
    assert len([name for name in tasks if name.startswith("bbh_cot_fewshot_")]) == 27
    assert len(tasks) == 57 + 27 + 5 + 11 + 5 + 3 + 7


def test_shots_are_the_papers_and_0_where_it_names_none(tasks):
    drawn = {name for name in tasks if name.startswith(("mmlu_", "bbh_"))} | set(SHOTS)
    for name, config in tasks.items():
        wanted = SHOTS.get(name, 5 if name.startswith("mmlu_") else 3 if name.startswith("bbh_") else 0)
        assert (config.get("num_fewshot") or 0) == wanted, name
    assert drawn <= set(tasks)


def test_every_metric_of_the_means_is_one_that_the_tasks_report(tasks):
    for entry in entries():
        for name in entry.tasks:
            metric, kept = entry.metric.split(",")
            of_group = [config for task, config in tasks.items() if task == name or task.startswith(f"{name}_")]
            for config in of_group:
                metrics = [item["metric"] for item in config["metric_list"]]
                assert metric in [getattr(item, "__name__", item) for item in metrics], name
                filters = [item["name"] for item in config.get("filter_list") or [{"name": "none"}]]
                assert kept in filters, name
            assert of_group, name


def test_every_task_of_a_mean_is_in_the_group(manager, tasks):
    named = {name for entry in entries() for name in entry.tasks}
    assert named <= {*tasks, *manager.all_groups}
    covered = {task for task in tasks if task in named or task.startswith(("mmlu_", "bbh_cot_fewshot_"))}
    assert covered == set(tasks)


def found(value: float = 0.5, **others: float) -> tuple[dict, dict]:
    results = {}
    for entry in entries():
        for name in entry.tasks:
            one = others.get(name, 40.0 if entry.metric == im_nlp.TER else value)
            results[name] = {"n": 100, "metrics": {entry.metric: {"value": one}}}
    groups = {name: {"metrics": results.pop(name)["metrics"]} for name in ("mmlu", "bbh_cot_fewshot")}
    return results, groups


def test_the_mean_is_of_groups_not_of_tasks_and_error_rates_count_the_right_way_round():
    table = im_nlp.means(*found())
    assert table["groups"]["multilinguality"]["values"] == {"lambada_multilingual": 50.0, "translation": 40.0}
    assert table["groups"]["multilinguality"]["mean"] == pytest.approx((50 + 60) / 2)
    assert table["groups"]["multilinguality"]["mean_as_published"] == pytest.approx((50 + 40) / 2)
    assert table["mean"] == pytest.approx((5 * 50 + 55) / 6)
    assert table["mean_as_published"] == pytest.approx((5 * 50 + 45) / 6)
    higher = im_nlp.means(*found(piqa=1.0))
    assert higher["mean"] - table["mean"] == pytest.approx(50 / 5 / 6)


def test_a_worse_translation_lowers_the_mean_and_raises_the_published_one():
    names = im_nlp.GROUPS["multilinguality"]["translation"].tasks
    worse = im_nlp.means(*found(**dict.fromkeys(names, 90.0)))
    table = im_nlp.means(*found())
    assert worse["mean"] < table["mean"]
    assert worse["mean_as_published"] > table["mean_as_published"]


def test_tasks_of_one_benchmark_are_weighted_by_documents_and_the_better_temperature_counts():
    tasks, groups = found(arc_easy=1.0, arc_challenge=0.0, im_humaneval_t01=0.1, im_humaneval_t07=0.3)
    tasks["arc_easy"]["n"] = 300
    table = im_nlp.means(tasks, groups)["groups"]
    assert table["commonsense"]["values"]["arc"] == pytest.approx(75.0)
    assert table["math_code"]["values"]["humaneval"] == pytest.approx(30.0)


def test_the_paper_row_of_the_base_model_is_the_mean_of_its_groups():
    groups = {
        name: {"mean": value} for name, value in zip(im_nlp.GROUPS, (63.91, 61.99, 75.86, 13.32, 38.80, 42.03), strict=True)
    }
    assert sum(row["mean"] for row in groups.values()) / 6 == pytest.approx(49.32, abs=0.005)


def test_a_mean_is_none_where_something_was_not_run():
    tasks, groups = found()
    del tasks["im_coqa"]
    table = im_nlp.means(tasks, groups)
    assert table["groups"]["commonsense"]["mean"] is None
    assert table["groups"]["safety"]["mean"] == 50.0
    assert table["mean"] is table["mean_as_published"] is None


def test_names_tags_and_groups_have_members_and_unsafe_ones_are_refused_before_data_is_fetched(manager):
    assert list(benchmarks.members(manager, "piqa")) == ["piqa"]
    assert set(benchmarks.members(manager, "ai2_arc")) == {"arc_easy", "arc_challenge"}
    with pytest.raises(InputError, match=r"'helaswag' is no task, group or tag\. Close to it: hellaswag"):
        list(benchmarks.members(manager, "helaswag"))
    for name in ("humaneval", "im_nlp"):
        with pytest.raises(InputError, match=r"benchmark task (im_humaneval_t01|humaneval): runs the code"):
            benchmarks.load(manager, [name], unsafe_code=False, num_fewshot=None, seed=0)


def test_a_task_that_wants_the_hub_is_named_where_there_is_none(manager, monkeypatch):
    def refuse(path, **_):
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(InputError, match=r"task lambada_openai_mt_de: cannot be loaded \(ConnectionError: Couldn't reach"):
        benchmarks.load(manager, ["im_nlp_multilinguality"], unsafe_code=False, num_fewshot=None, seed=0)
