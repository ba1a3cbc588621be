import pytest

from instune.errors import InputError
from instune.records import Task, write_tasks
from instune.results import read_json
from instune.selection.encoder import PACKAGED, write_reference
from stages import embed, select_tasks

PARAMS = """
embed: {batch_size: %(batch_size)s}
select: {method: %(method)s, top_k: %(top_k)s, aggregation: %(aggregation)s}
targets: {by: %(by)s, values: [%(values)s], examples_per_task: 5}
seed: %(seed)s
"""
DEFAULT = {
    "batch_size": 1,
    "method": "instruction",
    "top_k": 2,
    "aggregation": "vote",
    "by": "split",
    "values": "test",
    "seed": 0,
}
TASKS = {
    "translate": ("Translate the sentence into French.", "Write the French translation of the sentence."),
    "sentiment": ("Is the review positive or negative?", "Decide whether the opinion in the review is good or bad."),
    "count": ("Count the words in the sentence.", "How many words does the sentence have?"),
    "sort": ("Sort the numbers from small to large.", "Put the numbers into ascending order."),
    "question": ("Answer the question from the passage.", "Read the passage and answer the question."),
    "test_german": ("Translate the text to German.", "Give a German translation of the text."),
    "test_film": ("Tell whether the film review is favourable.", "Is the critic's opinion of the film good?"),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_reference(tmp_path / "selector", next(iter(PACKAGED)), None)
    tasks = [
        Task(name, "tiny", name, texts[0], texts, split="test" if name.startswith("test") else "train")
        for name, texts in TASKS.items()
    ]
    write_tasks(tmp_path / "tasks.parquet", tasks)
    files = {"tasks": tmp_path / "tasks.parquet", "embeddings": tmp_path / "embeddings.parquet"}

    def run(**changes):
        (tmp_path / "params.yaml").write_text(PARAMS % (DEFAULT | changes))
        if not files["embeddings"].exists():
            embed.main(
                tasks=files["tasks"], selector=tmp_path / "selector", out=files["embeddings"], report=tmp_path / "embed.json"
            )
        select_tasks.main(**files, out=tmp_path / "selection.json")
        return read_json(tmp_path / "selection.json")

    run.embeddings = files["embeddings"]
    return run


def best(selection):
    return {target: choices[0]["task_id"] for target, choices in selection["targets"].items()}


def test_the_packaged_encoder_finds_the_task_of_like_meaning(run):
    selection = run()
    assert best(selection) == {"test_german": "translate", "test_film": "sentiment"}
    assert all(len(choices) == 2 for choices in selection["targets"].values())
    assert not {"test_german", "test_film"} & set(selection["selected"])


def test_batch_size_1_and_64_select_the_same(run, tmp_path):
    first = run(batch_size=1, top_k=5)
    run.embeddings.unlink()
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    second = run(batch_size=64, top_k=5)
    for target, choices in first["targets"].items():
        assert [choice["task_id"] for choice in choices] == [choice["task_id"] for choice in second["targets"][target]]


def test_the_same_run_writes_the_same_bytes(run, tmp_path):
    for method in ("instruction", "random", "all"):
        run(method=method)
        first = (tmp_path / "selection.json").read_bytes()
        run(method=method)
        assert (tmp_path / "selection.json").read_bytes() == first


def test_a_target_of_the_training_split_is_no_source(run):
    selection = run(by="tasks", values="translate", method="all")
    assert list(selection["targets"]) == ["translate"]
    assert selection["selected"] == ["count", "question", "sentiment", "sort"]


def test_random_follows_the_seed(run):
    assert run(method="random", seed=0)["targets"] != run(method="random", seed=1)["targets"]
    assert run(method="instruction", seed=0)["targets"] == run(method="instruction", seed=1)["targets"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_k": 0}, "select.top_k: 0 is not allowed"),
        ({"top_k": 6}, "select.top_k: 6 is more than the 5 source tasks there are. Allowed: 1 to 5"),
        ({"method": "nearest"}, "select.method: 'nearest' is not allowed"),
        ({"aggregation": "median"}, "select.aggregation: 'median' is not allowed"),
        ({"values": "tset"}, "'tset' is unknown"),
        ({"by": "pool", "values": "tiny"}, "no training task is left"),
    ],
)
def test_wrong_parameters_are_refused_and_leave_nothing(run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(**changes)
    assert not (tmp_path / "selection.json").exists()
