import pytest

from instune.records import write_tasks
from instune.results import read_json, write_json
from stages import align, align_stability, embed, select_tasks

PARAMS = """
align: {encoder: packaged:all-minilm-l6-v2, revision: null, epochs: %s, alike: wordings, pairs: null, batch_size: 4,
  learning_rate: 1.0e-3}
align_stability: {alignments: %s}
embed: {batch_size: 8, inputs: 0}
select: {method: %s, aggregation: max, top_k: 2, max_target_wordings: null, per_category_cap: null, examples_per_task: null}
targets: {by: split, values: [test], examples_per_task: 5}
seed: 0
"""


@pytest.fixture
def run(tmp_path, monkeypatch, unlike_pool):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path / "tasks.parquet", unlike_pool[0].values())
    write_json(tmp_path / "align.json", {"revision": None})

    def run(alignments=2, epochs=1, method="instruction"):
        (tmp_path / "params.yaml").write_text(PARAMS % (epochs, alignments, method))
        files = {name: tmp_path / f"{name}.json" for name in ("selection", "align")}
        align_stability.main(**files, tasks=tmp_path / "tasks.parquet", out=tmp_path / "align_stability.json")
        return read_json(tmp_path / "align_stability.json")

    return run


def chosen(tmp_path, *names):
    targets = {"task6": names, "task7": names}
    write_json(
        tmp_path / "selection.json", {"targets": {key: [{"task_id": name} for name in value] for key, value in targets.items()}}
    )


@pytest.mark.parametrize("change", [{"alignments": 0}, {"epochs": 0}, {"method": "random"}])
def test_where_nothing_compares_nothing_is_written(run, tmp_path, change):
    assert run(**change) == {"choices": 1, "overlap": {}, "development": []}


def test_choices_of_other_seeds_overlap_as_counted_by_hand(run, tmp_path, monkeypatch):
    chosen(tmp_path, "task0", "task1")
    others = iter([("task0", "task1"), ("task1", "task2")])

    def again(values, pool, revision, seed):
        names = next(others)
        return {
            "targets": {key: [{"task_id": name} for name in names] for key in ("task6", "task7")},
            "development": {"auc": seed},
        }

    monkeypatch.setattr(align_stability, "_again", again)
    found = run()
    assert found["choices"] == 3
    assert found["overlap"] == {"task6": pytest.approx((1 + 0.5 + 0.5) / 3), "task7": pytest.approx((1 + 0.5 + 0.5) / 3)}
    assert [score["auc"] for score in found["development"]] == [1, 2]


def test_a_further_alignment_is_the_one_that_its_seed_gives(run, tmp_path):
    chosen(tmp_path, "task0", "task1")
    found = run(alignments=1)
    params = (tmp_path / "params.yaml").read_text().replace("seed: 0", "seed: 1")
    (tmp_path / "params.yaml").write_text(params)
    tasks = tmp_path / "tasks.parquet"
    align.main(tasks=tasks, out=tmp_path / "selector", report=tmp_path / "other.json")
    assert found["development"] == [pytest.approx(read_json(tmp_path / "other.json")["after"])]
    examples = {"tasks": tasks, "examples": tmp_path / "examples.parquet"}
    embed.main(**examples, selector=tmp_path / "selector", out=tmp_path / "table", report=tmp_path / "embed.json")
    files = {"embeddings": tmp_path / "table", "model_embeddings": tmp_path / "none"}
    select_tasks.main(**examples, **files, out=tmp_path / "second.json", details=tmp_path / "details.json")
    second = read_json(tmp_path / "second.json")["targets"]
    for target, share in found["overlap"].items():
        assert share == len({"task0", "task1"} & {choice["task_id"] for choice in second[target]}) / 2


def test_a_killed_run_aligns_what_is_left(run, tmp_path, monkeypatch):
    chosen(tmp_path, "task0", "task1")
    whole, real, seeds = run(), align_stability._again, []

    def killed(values, pool, revision, seed):
        if seed == 2:
            raise KeyboardInterrupt
        return real(values, pool, revision, seed)

    monkeypatch.setattr(align_stability, "_again", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(align_stability, "_again", lambda *args: seeds.append(args[-1]) or real(*args))
    assert run() == whole
    assert seeds == [2]
    assert not list((tmp_path / ".scratch/align_stability").iterdir())
