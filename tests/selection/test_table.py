import numpy as np
import pyarrow.parquet as pq
import pytest

from instune.errors import InputError
from instune.selection.table import SCHEMA, Embeddings, read, write


def test_rows_come_back_as_they_were(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    vectors[2, 1] = np.nan
    rows = Embeddings(("a", "a", "b", "c", "c"), np.array([0, 1, 0, 0, 1]), vectors, np.array([True, False, False, True, False]))
    write(tmp_path / "e.parquet", {"wording": rows})
    back = read(tmp_path / "e.parquet", "wording")
    assert back.task_ids == rows.task_ids
    np.testing.assert_array_equal(back.vectors, vectors)
    assert back.vectors.dtype == np.float32
    np.testing.assert_array_equal(back.indices, rows.indices)
    np.testing.assert_array_equal(back.truncated, rows.truncated)
    assert pq.read_schema(tmp_path / "e.parquet").equals(SCHEMA)
    assert [file.name for file in tmp_path.iterdir()] == ["e.parquet"]


def test_a_kind_is_read_alone_and_kinds_differ_in_width(tmp_path):
    example = Embeddings(("a",), np.array([7]), np.ones((1, 2), np.float32), np.array([False]))
    state = Embeddings(("b", "b"), np.array([0, 1]), np.ones((2, 5), np.float32), np.array([False, True]))
    write(tmp_path / "e.parquet", {"example": example, "hidden_state": state})
    assert read(tmp_path / "e.parquet", "example").indices.tolist() == [7]
    assert read(tmp_path / "e.parquet", "example").vectors.shape == (1, 2)
    assert read(tmp_path / "e.parquet", "hidden_state").vectors.shape == (2, 5)
    assert read(tmp_path / "e.parquet", "wording").task_ids == ()


def test_no_kind_is_an_empty_table(tmp_path):
    write(tmp_path / "e.parquet", {})
    assert pq.read_schema(tmp_path / "e.parquet").equals(SCHEMA)
    assert read(tmp_path / "e.parquet", "gradient").task_ids == ()


def test_a_broken_table_is_refused_with_its_name(tmp_path):
    path = tmp_path / "embeddings.parquet"
    with pytest.raises(InputError, match="not found"):
        read(path, "wording")
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"embeddings\.parquet: not a readable Parquet file"):
        read(path, "wording")
