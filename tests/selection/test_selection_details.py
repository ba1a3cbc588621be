import numpy as np
import pytest

from instune.records import Task
from instune.selection.compared import Compared, compare
from instune.selection.details import closest_pairs, score_table, truncated_wordings
from instune.selection.lexical import Corpus
from instune.selection.rankers import Ranked
from instune.selection.settings import Select
from instune.selection.table import Embeddings


def pool(wordings):
    return {name: Task(name, "tiny", name, texts[0], texts) for name, texts in wordings.items()}


TASKS = pool({"target": ("t0", "t0", "t1"), "a": ("a0", "a1"), "b": ("b0",), "c": ("c0", "c0", "c1", "c2")})
SOURCES = ["a", "b", "c"]
SELECT = {"aggregation": "vote", "top_k": 1, "max_target_wordings": None, "per_category_cap": None, "examples_per_task": None}


def random_rows(seed=0):
    keys = [(name, index) for name in TASKS for index in range(len(TASKS[name].wordings))]
    vectors = np.random.default_rng(seed).normal(size=(len(keys), 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = np.array([index for _, index in keys])
    return Embeddings(tuple(name for name, _ in keys), index, vectors, np.array([index == 2 for _, index in keys])), keys


@pytest.mark.parametrize("seed", range(5))
def test_the_closest_pair_is_that_of_a_search_over_all_pairs(seed):
    rows, keys = random_rows(seed)
    ((_, found),) = compare(Select(method="instruction", **SELECT), tasks=TASKS, targets=["target"], sources=SOURCES, rows=rows)
    pairs = closest_pairs(found, tasks=TASKS, target="target", sources=SOURCES, chosen=["c", "a"])
    for pair, name in zip(pairs, ("c", "a"), strict=True):
        cosines = {
            (TASKS["target"].wordings[own], TASKS[name].wordings[place]): float(
                rows.vectors[keys.index(("target", own))] @ rows.vectors[keys.index((name, place))]
            )
            for own in (0, 2)  # a wording that repeats counts once
            for place in ((0, 2, 3) if name == "c" else (0, 1))
        }
        best = max(cosines, key=cosines.get)
        assert (pair["target_wording"], pair["source_wording"]) == best
        assert pair["score"] == pytest.approx(cosines[best], abs=1e-6)


def test_the_columns_of_words_are_those_of_the_wordings():
    tasks = pool({"target": ("sort the numbers",), "a": ("paint", "count the words"), "b": ("numbers to sort", "sing")})
    sources = ["a", "b"]
    ((_, found),) = compare(Select(method="bm25", **SELECT), tasks=tasks, targets=["target"], sources=sources, rows=None)
    (pair,) = closest_pairs(found, tasks=tasks, target="target", sources=sources, chosen=["b"])
    (expected,) = next(Corpus(["paint", "count the words", "numbers to sort", "sing"]).similarities(["sort the numbers"]))
    assert (pair["source_wording"], pair["score"]) == ("numbers to sort", expected.max() / 1e6)


def test_of_equal_pairs_the_first_is_shown():
    found = Compared(np.full((2, 3), 5, dtype=np.int32), [0, 2], np.array([0, 0, 1]), [0, 1, 0])
    (pair,) = closest_pairs(found, tasks=TASKS, target="target", sources=["a", "b"], chosen=["a"])
    assert pair == {"task_id": "a", "target_wording": "t0", "source_wording": "a0", "score": 5e-6}


def test_the_score_table_holds_every_target_for_every_chosen_task_and_puts_best_beside_best():
    ranked = {
        "y": Ranked(["b", "a", "c"], [900_000, 500_000, 100_000], [[]] * 3),
        "x": Ranked(["c", "b", "a"], [800_000, 300_000, 200_000], [[]] * 3),
    }
    table = score_table(ranked, {"y": ["b", "a"], "x": ["c"]})
    assert table == {
        "targets": ["x", "y"],
        "tasks": ["c", "b", "a"],
        "scores": [[0.8, 0.1], [0.3, 0.9], [0.2, 0.5]],
        "of": [2, 3],
    }


def test_a_large_score_table_keeps_the_highest_scores():
    names = [f"s{number:02}" for number in range(60)]
    ranked = {f"t{number:02}": Ranked(names, [1000 * number + 60 - place for place in range(60)], []) for number in range(20)}
    table = score_table(ranked, dict.fromkeys(ranked, names[:50]))
    assert table["targets"] == [f"t{number:02}" for number in range(5, 20)]
    assert table["tasks"] == names[:40]
    assert table["of"] == [20, 50]
    assert np.array(table["scores"]).shape == (40, 15)


def test_a_drawn_order_has_no_score_table():
    assert score_table({"x": Ranked(["a"], None, [])}, {"x": ["a"]}) is None


def test_truncated_wordings_are_named_by_task_without_repeats():
    rows, _ = random_rows()
    assert truncated_wordings(rows, TASKS, dict.fromkeys(("target", "a", "c"))) == {"c": [2], "target": [2]}
    assert truncated_wordings(rows, TASKS, {"target": 1, "c": 2}) == {"c": [2]}
    repeated = TASKS | {"target": Task("target", "tiny", "x", "t0", ("t0", "t1", "t0"))}
    assert truncated_wordings(rows, repeated, {"target": None}) == {}
