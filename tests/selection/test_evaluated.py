import numpy as np

from instune.records import Example
from instune.selection.evaluated import repeats, source_row, without
from instune.selection.table import Embeddings


def example(task_id, example_id, text, wording_index=None):
    return Example(task_id, example_id, text, ("x",), wording_index=wording_index)


def test_an_example_with_the_words_of_an_evaluated_one_is_found_by_task_and_index():
    examples = [
        example("one", "one-0", "Which fruit is yellow?"),
        example("two", "two-0", "Name a river."),
        example("one", "one-1", "Which  FRUIT is yellow"),
        example("one", "one-2", "Which fruit is green?"),
        example("two", "two-1", "which fruit is yellow?"),  # evaluated in the other target
        example("one", "one-3", "Name a river!"),
    ]
    assert repeats(examples, 1) == {("one", 1), ("two", 1), ("one", 3)}
    assert repeats(examples, 2) == {("one", 3)}  # the first two of each are evaluated themselves
    assert repeats(examples, 4) == set()


def test_inputs_without_words_repeat_nothing():
    assert repeats([example("one", "one-0", ""), example("one", "one-1", " "), example("one", "one-2", "?!")], 1) == set()


def test_renderings_of_one_row_by_several_templates_are_found():
    ids = [("rows.jsonl:7", 0), ("rows.jsonl:7", 1), ("rows.jsonl:7", 11), ("rows.jsonl:8", 0), ("rows.jsonl:17", 1)]
    examples = [
        example("p3:copa", f"p3:copa:{row}:{template}", f"Text {place}", template) for place, (row, template) in enumerate(ids)
    ]
    assert repeats(examples, 1) == {("p3:copa", 1), ("p3:copa", 2)}


def test_other_ids_name_no_row():
    assert source_row(example("p3:copa", "p3:copa:rows.jsonl:7:2", "Text", 2)) == "p3:copa:rows.jsonl:7"
    for other in (
        example("p3:copa", "p3:copa:rows.jsonl:7:2", "Text", 1),
        example("p3:copa", "elsewhere:rows.jsonl:7:2", "Text", 2),
        example("p3:copa", "p3:copa:rows.jsonl:7:2", "Text"),
        example("p3:copa", "copa-2", "Text", 2),
    ):
        assert source_row(other) is None


def test_the_rows_left_keep_their_vectors_and_order():
    rows = Embeddings(("a", "b", "a"), np.array([1, 1, 0]), np.eye(3, dtype=np.float32), np.array([True, False, True]))
    left = without(rows, {("a", 1), ("c", 0)})
    assert (left.task_ids, left.indices.tolist(), left.truncated.tolist()) == (("b", "a"), [1, 0], [False, True])
    assert np.array_equal(left.vectors, np.eye(3, dtype=np.float32)[1:])
    nothing = without(rows, {("a", 0), ("a", 1), ("b", 1)})
    assert (nothing.task_ids, nothing.vectors.shape) == ((), (0, 3))
