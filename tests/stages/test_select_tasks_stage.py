import numpy as np
import pytest

from instune.errors import InputError
from instune.records import Example, Task, write_examples, write_tasks
from instune.results import read_json
from instune.selection.encoder import PACKAGED, write_reference
from instune.selection.table import Embeddings, write
from stages import embed, select_tasks

PARAMS = """
embed: {batch_size: %(batch_size)s, inputs: %(inputs)s}
select:
  method: %(method)s
  top_k: %(top_k)s
  aggregation: %(aggregation)s
  max_target_wordings: %(max_target_wordings)s
  per_category_cap: %(per_category_cap)s
  examples_per_task: %(examples_per_task)s
targets: {by: %(by)s, values: [%(values)s], examples_per_task: 2}
seed: %(seed)s
"""
DEFAULT = {
    "batch_size": 1,
    "inputs": 0,
    "max_target_wordings": "null",
    "per_category_cap": "null",
    "examples_per_task": "null",
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
FILM, LETTER = "The film moved me to tears.", "Dear Anna, the train from Lyon was late."
INPUTS = {  # the first two of a target are evaluated; they point elsewhere
    "translate": (LETTER, "My sister lives in Paris.", "The letter came by train."),
    "sentiment": (FILM, "The actors were wooden.", "A dull plot, but lovely music."),
    "count": ("one two three", "four five", "six seven eight nine"),
    "sort": ("17 4 9", "3 80 12", "5 1 22"),
    "question": ("The Nile is long. Which river?", "Iron melts at 1538 degrees. When?", "Bees live in hives. Where?"),
    "test_german": (FILM, FILM, LETTER, "The train to Lyon leaves from Paris."),
    "test_film": (LETTER, LETTER, "A moving film with lovely music.", "The plot of the film was dull."),
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
    examples = [
        Example(name, f"{name}-{number}", f"{text} ({number})", ("x",))
        for name in TASKS
        for number, text in enumerate(INPUTS[name])
    ]
    write_examples(tmp_path / "examples.parquet", examples)
    files = {name: tmp_path / f"{name}.parquet" for name in ("tasks", "examples", "embeddings", "model_embeddings")}

    def run(**changes):
        (tmp_path / "params.yaml").write_text(PARAMS % (DEFAULT | changes))
        if not files["embeddings"].exists():
            places = {"selector": tmp_path / "selector", "out": files["embeddings"], "report": tmp_path / "embed.json"}
            embed.main(tasks=files["tasks"], examples=files["examples"], **places)
        if not files["model_embeddings"].exists():
            write(files["model_embeddings"], {})
        select_tasks.main(**files, out=tmp_path / "selection.json", details=tmp_path / "selection_details.json")
        return read_json(tmp_path / "selection.json")

    run.embeddings, run.model_embeddings = files["embeddings"], files["model_embeddings"]
    return run


def chosen_ids(selection):
    return {target: [choice["task_id"] for choice in choices] for target, choices in selection["targets"].items()}


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
    assert chosen_ids(first) == chosen_ids(second)


def test_the_same_run_writes_the_same_bytes(run, tmp_path):
    for method in ("instruction", "random", "all", "bm25"):
        run(method=method)
        first = [(tmp_path / name).read_bytes() for name in ("selection.json", "selection_details.json")]
        run(method=method)
        assert [(tmp_path / name).read_bytes() for name in ("selection.json", "selection_details.json")] == first


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
        ({"method": "examples"}, "compares vectors of kind example, and .* holds none"),
        ({"method": "hidden_states"}, r"Set embed_model.kinds: \[hidden_state\]"),
        ({"method": "gradient"}, r"Set embed_model.kinds: \[gradient\]"),
        ({"method": "category"}, "category knows nothing of 2 of 2 target"),
        ({"per_category_cap": 0}, "select.per_category_cap: 0 is not allowed"),
        ({"examples_per_task": "{count: 0, by: first}"}, "select.examples_per_task.*count: 0 is not allowed"),
        ({"examples_per_task": "{count: 1, by: nearest}"}, "nearest needs a method that scores examples"),
        ({"aggregation": "median"}, "select.aggregation: 'median' is not allowed"),
        ({"values": "tset"}, "'tset' is unknown"),
        ({"by": "pool", "values": "tiny"}, "no training task is left"),
    ],
)
def test_wrong_parameters_are_refused_and_leave_nothing(run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(**changes)
    assert not (tmp_path / "selection.json").exists()


def test_inputs_find_the_task_of_like_texts_without_those_that_are_evaluated(run):
    selection = run(method="examples", inputs=4)
    assert best(selection) == {"test_german": "translate", "test_film": "sentiment"}
    assert selection["examples"] is None


def test_inputs_in_batches_of_1_and_64_select_the_same(run, tmp_path):
    first = run(method="examples", inputs=4, top_k=5, batch_size=1)
    run.embeddings.unlink()
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    assert chosen_ids(run(method="examples", inputs=4, top_k=5, batch_size=64)) == chosen_ids(first)


def test_the_first_or_the_nearest_examples_of_the_chosen_tasks(run):
    first = run(method="examples", inputs=4, top_k=1, examples_per_task="{count: 2, by: first}")
    assert first["examples"] == {
        "sentiment": ["sentiment-0", "sentiment-1"],
        "translate": ["translate-0", "translate-1"],
    }
    nearest = run(method="examples", inputs=4, top_k=1, examples_per_task="{count: 1, by: nearest}")
    assert nearest["examples"] == {"sentiment": ["sentiment-2"], "translate": ["translate-0"]}
    assert run(method="all", examples_per_task="{count: 1, by: first}")["examples"]["sort"] == ["sort-0"]


@pytest.mark.parametrize(("method", "kind"), [("hidden_states", "hidden_state"), ("gradient", "gradient")])
def test_vectors_of_the_base_model_are_taken_from_their_own_table(run, method, kind):
    angles = {"translate": 0.1, "sentiment": 1.4, "count": 0.8, "sort": 0.7, "test_german": 0.0, "test_film": 1.5}
    vectors = np.array([[np.cos(angle), np.sin(angle)] for angle in angles.values()], dtype=np.float32)
    rows = Embeddings(tuple(angles), np.full(len(angles), 3), vectors, np.zeros(len(angles), dtype=bool))
    write(run.model_embeddings, {kind: rows})
    selection = run(method=method)
    assert best(selection) == {"test_german": "translate", "test_film": "sentiment"}
    assert selection["unranked"] == 1
    assert selection["cost"] == {"kind": kind, "flops": 2 * 2 * 4 * 2}


def test_one_wording_of_each_target_or_shared_words_find_them_too(run):
    assert best(run(max_target_wordings=1)) == {"test_german": "translate", "test_film": "sentiment"}
    assert best(run(method="bm25", aggregation="mean_of_max")) == {"test_german": "translate", "test_film": "sentiment"}


def test_what_the_choice_rests_on_is_written_for_the_page(run, tmp_path):
    selection = run(top_k=1)
    details = read_json(tmp_path / "selection_details.json")
    assert details["stability"] == {target: {"mean": 1.0, "min": 1.0} for target in best(selection)}
    (pair,) = details["matches"]["test_german"]
    assert pair["task_id"] == "translate"
    assert pair["target_wording"] in TASKS["test_german"]
    assert pair["source_wording"] in TASKS["translate"]
    assert pair["score"] == selection["targets"]["test_german"][0]["score"]
    assert details["scores"]["targets"] == ["test_film", "test_german"]
    assert details["scores"]["tasks"] == ["sentiment", "translate"]
    assert details["truncated"] == {}
    kinds = {point["task_id"]: point["kind"] for point in details["map"]["points"]}
    assert kinds == dict.fromkeys(TASKS, "other") | dict.fromkeys(("translate", "sentiment"), "chosen") | dict.fromkeys(
        ("test_german", "test_film"), "target"
    )


@pytest.mark.parametrize("method", ["random", "all", "examples"])
def test_a_method_that_compares_no_wordings_has_none_that_matched_but_a_map(run, tmp_path, method):
    run(method=method, inputs=4)
    details = read_json(tmp_path / "selection_details.json")
    assert details["stability"] == {}
    assert details["matches"] == {}
    assert details["truncated"] == {}
    assert (details["scores"] is None) == (method != "examples")
    kinds = {point["kind"] for point in details["map"]["points"]}
    assert kinds == ({"target", "other"} if method == "all" else {"target", "chosen", "other"})


def test_shares_of_words_have_closest_pairs_too(run, tmp_path):
    selection = run(method="bm25", aggregation="max", top_k=1)
    details = read_json(tmp_path / "selection_details.json")
    for target, (pair,) in details["matches"].items():
        assert pair["score"] == selection["targets"][target][0]["score"]


def rendered(task_id, row, template, text):
    return Example(task_id, f"{task_id}:rows.jsonl:{row}:{template}", text, ("x",), wording_index=template)


def test_an_example_that_repeats_an_evaluated_one_does_not_choose(run, tmp_path):
    inputs = {
        "sentiment": ("A dull plot.", "The film moved me."),
        "translate": ("The train to Lyon.", "My sister in Paris."),
    }
    sources = [Example(name, f"{name}-{place}", text, ("x",)) for name in inputs for place, text in enumerate(inputs[name])]
    targets = [
        rendered("test_film", 0, 0, "The letter came by train from Paris."),
        rendered("test_film", 1, 0, "The train leaves from Lyon."),
        rendered("test_film", 1, 1, "From Lyon to Paris by train: when?"),  # of an evaluated row
        rendered("test_film", 2, 0, "the letter came by TRAIN from Paris"),  # the words of an evaluated one
        rendered("test_film", 3, 0, "A moving film with a dull plot."),
    ]
    write_examples(tmp_path / "examples.parquet", [*sources, *targets])
    changes = {"method": "examples", "inputs": 4, "by": "tasks", "values": "test_film", "top_k": 1}
    assert best(run(**changes)) == {"test_film": "sentiment"}
    nearest = run(**changes, examples_per_task="{count: 1, by: nearest}")
    assert nearest["examples"] == {"sentiment": ["sentiment-0"]}

    write_examples(tmp_path / "examples.parquet", [*sources, *targets[:-1]])
    run.embeddings.unlink()
    with pytest.raises(InputError, match=r"test_film: has no embedded example beyond its first 2, .* nor may what repeats them"):
        run(**changes)
