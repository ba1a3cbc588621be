import numpy as np
import pytest
from makers import make_example, make_task

from instune.errors import InputError
from instune.prompts import Prompt, load_template
from instune.selection.cache import EmbeddingCache
from instune.selection.examples import last_examples
from instune.selection.model_rows import build, vectors
from instune.tuning.labels import loss_weights
from instune.tuning.rows import RowBuilder

PROMPT = Prompt(
    template="plain",
    instruction_position="before",
    wording="definition",
    exemplars=0,
    max_instruction_tokens=50,
    max_input_tokens=20,
    max_tokens=90,
)


@pytest.fixture
def built(tiny_pool, tokenizer):
    tasks, examples = tiny_pool
    long = make_task(8)
    examples = [*examples, make_example(long, 0, output="red " * 100), make_example(tasks["task0"], 5, text="blue " * 40)]
    builder = RowBuilder(
        tasks | {"task8": long},
        tokenizer,
        load_template("plain", tokenizer),
        PROMPT,
        weights=loss_weights("it"),
        normalize_by="weights",
        seed=0,
    )
    return build(last_examples(examples, 2), builder)


def sums(groups, advance):
    """A stand-in for a model: number of tokens and of labels of each row."""
    for rows in groups:
        advance(sum(len(row.input_ids) for row in rows))
    return [
        np.array([[len(row.input_ids), sum(label >= 0 for label in row.labels)] for row in rows], dtype=np.float32)
        for rows in groups
    ]


def computed(groups, folder, compute=sums, rows_at_once=3):
    cache = EmbeddingCache(folder, "setting")
    try:
        return vectors(groups, compute, cache, kind="hidden_state", rows_at_once=rows_at_once)
    finally:
        cache.close()


def test_the_last_examples_become_rows_with_their_indices(built):
    groups, dropped = built
    assert [group.task_id for group in groups] == [f"task{number}" for number in range(8)]
    assert groups[0].indices == [4, 5]
    assert groups[1].indices == [3, 4]
    assert groups[0].truncated == [False, True]
    assert sum(dropped.values()) == 1  # the output of task8 does not fit
    assert groups[1].labels == sum(label >= 0 for row in groups[1].rows for label in row.labels) > 0


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
def test_every_row_has_its_own_vector_whatever_the_chunks(built, tmp_path, rows_at_once):
    table, new = computed(built[0], tmp_path, rows_at_once=rows_at_once)
    assert new == 16
    assert table.task_ids == tuple(group.task_id for group in built[0] for _ in range(2))
    expected = [[len(row.input_ids), sum(label >= 0 for label in row.labels)] for group in built[0] for row in group.rows]
    assert table.vectors.tolist() == expected
    assert table.truncated.tolist() == [False, True] + [False] * 14


def test_a_second_run_and_a_killed_one_compute_what_is_new_only(built, tmp_path):
    computed(built[0][:3], tmp_path)
    table, new = computed(built[0], tmp_path)
    assert new == 10
    assert table.vectors.tobytes() == computed(built[0], tmp_path / "other")[0].vectors.tobytes()

    def broken(groups, advance):
        raise AssertionError("nothing is left to compute")

    assert computed(built[0], tmp_path, broken)[1] == 0


def test_a_vector_that_is_not_finite_is_refused_by_task_and_not_kept(built, tmp_path):
    def bad(groups, advance):
        return [np.full((len(rows), 2), np.nan, dtype=np.float32) for rows in groups]

    with pytest.raises(InputError, match="task task0: its hidden_state holds NaN"):
        computed(built[0], tmp_path, bad)
    assert computed(built[0], tmp_path)[1] == 16


def test_without_any_row_the_table_is_empty(tmp_path):
    table, new = computed([], tmp_path)
    assert (table.task_ids, new) == ((), 0)
