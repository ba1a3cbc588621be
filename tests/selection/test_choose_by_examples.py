from dataclasses import replace

import numpy as np
import pytest

from instune.errors import InputError
from instune.selection.choose import some_examples
from instune.selection.instances import Instances
from instune.selection.settings import ExamplesPerTask
from instune.selection.table import Embeddings
from tests.selection.choosing import CALL, EXAMPLES, choose, example_rows


@pytest.mark.parametrize("method", ["examples", "hidden_states", "gradient"])
def test_examples_that_are_evaluated_do_not_choose(method):
    chosen = choose(method, top_k=2, **CALL | {"rows": example_rows(EXAMPLES)})
    assert [choice["task_id"] for choice in chosen["targets"]["target"]] == ["c", "a"]
    # the mean of two unit vectors points half-way: the target's second and third example to 0.1, c's to 0.2, a's to 0.6
    assert [choice["score"] for choice in chosen["targets"]["target"]] == [round(np.cos(0.1), 6), round(np.cos(0.5), 6)]
    assert chosen["margin"]["target"] == pytest.approx(np.cos(0.5) - np.cos(1.1), abs=2e-6)
    assert chosen["unranked"] == 1  # d has no example
    with pytest.raises(InputError, match="task target: has no embedded example beyond its first 3, which are evaluated"):
        choose(method, top_k=2, **CALL | {"rows": example_rows(EXAMPLES), "evaluated": 3})


def test_source_tasks_without_examples_cannot_fill_the_budget():
    with pytest.raises(InputError, match=r"select.top_k: 4 is more than the 3 of 4 source tasks that have embedded examples"):
        choose("hidden_states", top_k=4, **CALL | {"rows": example_rows(EXAMPLES)})
    with pytest.raises(InputError, match="none of the 4 source tasks has an embedded example"):
        choose("gradient", top_k=1, **CALL | {"rows": example_rows({"target": [0.0, 0.1]})})


def test_the_order_of_rows_in_the_table_does_not_matter():
    rows, draw = example_rows(EXAMPLES), np.random.default_rng(0)
    first = choose("examples", top_k=3, **CALL | {"rows": rows})
    order = draw.permutation(len(rows.task_ids))
    shuffled = Embeddings(
        tuple(rows.task_ids[place] for place in order), rows.indices[order], rows.vectors[order], rows.truncated[order]
    )
    assert choose("examples", top_k=3, **CALL | {"rows": shuffled}) == first


@pytest.mark.parametrize("task", ["target", "a"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_example_vectors_that_are_not_finite_are_refused_by_task(task, value):
    rows = example_rows(EXAMPLES)
    rows.vectors[rows.task_ids.index(task) + 1, 0] = value
    with pytest.raises(InputError, match=f"task {task}:"):
        choose("examples", top_k=1, **CALL | {"rows": rows})


def test_the_nearest_examples_are_those_of_nested_loops_and_the_union_over_targets():
    draw = np.random.default_rng(5)
    angles = {name: draw.uniform(0, 3, size=6).tolist() for name in ("t1", "t2", "a", "b", "c")}
    chosen, ids = {"t1": ["a", "b"], "t2": ["b", "c"]}, {name: [f"{name}-{i}" for i in range(6)] for name in "abc"}
    found = some_examples(
        ExamplesPerTask(count=2, by="nearest"), chosen, ids, Instances(example_rows(angles), evaluated=2, way_out="")
    )
    expected = {name: set() for name in "abc"}
    for target, names in chosen.items():
        mean = np.sum([[np.cos(angle), np.sin(angle)] for angle in angles[target][2:]], axis=0)
        for name in names:
            scores = [np.dot(mean, [np.cos(angle), np.sin(angle)]) for angle in angles[name]]
            expected[name] |= {f"{name}-{index}" for index in sorted(range(6), key=lambda index: -scores[index])[:2]}
    assert {name: set(row) for name, row in found.items()} == expected
    assert all(row == sorted(row) for row in found.values())


def test_the_first_examples_need_no_vectors():
    ids = {"b": ["b-0", "b-1", "b-2"], "a": ["a-0"]}
    found = some_examples(ExamplesPerTask(count=2, by="first"), {"t": ["a", "b"]}, ids, None)
    assert found == {"a": ["a-0"], "b": ["b-0", "b-1"]}


def test_nearest_is_refused_where_examples_have_no_score_or_too_few_are_embedded():
    wanted, ids = ExamplesPerTask(count=3, by="nearest"), {"a": ["a-0", "a-1", "a-2", "a-3"]}
    with pytest.raises(InputError, match="nearest needs a method that scores examples"):
        some_examples(wanted, {"target": ["a"]}, ids, None)
    instances = Instances(example_rows(EXAMPLES), evaluated=1, way_out="Embed more.")
    refused = r"count: 3 is more than the 2 examples of task a that are embedded.\n  Lower .*count to at most 2. Or: Embed more."
    with pytest.raises(InputError, match=refused):
        some_examples(wanted, {"target": ["a"]}, ids, instances)
    assert some_examples(wanted, {"target": ["a"]}, {"a": ["a-0", "a-1"]}, instances) == {"a": ["a-0", "a-1"]}


def test_equally_near_examples_are_taken_by_index_whatever_the_order_of_rows():
    rows = example_rows({"target": [0.0, 0.0], "a": [0.3, -0.3, 0.3, -0.3]})
    order = np.array([4, 0, 5, 2, 1, 3])
    shuffled = Embeddings(
        tuple(rows.task_ids[place] for place in order), rows.indices[order], rows.vectors[order], rows.truncated[order]
    )
    ids, instances = {"a": ["a-0", "a-1", "a-2", "a-3"]}, Instances(shuffled, evaluated=1, way_out="")
    found = some_examples(ExamplesPerTask(count=2, by="nearest"), {"target": ["a"]}, ids, instances)
    assert found == {"a": ["a-0", "a-1"]}


def test_the_nearest_examples_are_listed_in_pool_order():
    angles = {"target": [0.0, 0.0], "a": [1.0] * 10}
    angles["a"][8], angles["a"][1] = 0.1, 0.2
    instances = Instances(example_rows(angles), evaluated=1, way_out="")
    ids = {"a": [f"a-{number}" for number in range(10)]}
    found = some_examples(ExamplesPerTask(count=2, by="nearest"), {"target": ["a"]}, ids, instances)
    assert found == {"a": ["a-1", "a-8"]}


@pytest.mark.parametrize("method", ["examples", "hidden_states", "gradient"])
def test_truncated_examples_are_counted_where_they_are_compared(method):
    rows = example_rows(EXAMPLES)
    cut = [("target", 0), ("target", 2), ("a", 1), ("b", 0), ("b", 2)]  # the first is evaluated and not compared
    flags = np.array([key in cut for key in zip(rows.task_ids, rows.indices.tolist(), strict=True)])
    chosen = choose(method, top_k=1, **CALL | {"rows": replace(rows, truncated=flags)})
    assert chosen["truncated"] == 4
