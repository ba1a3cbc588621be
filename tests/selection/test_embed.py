import numpy as np
import pytest
import torch

from instune.errors import InputError
from instune.records import Task
from instune.selection.embed import encode, summary, token_counts, wordings
from instune.selection.encoder import PACKAGED, load, locate

TEXTS = ["Say yes or no.", "Name the colour.", "Count the words of the sentence, then write the number.", "Say yes or no."]


@pytest.fixture(scope="module")
def model():
    return load(locate(next(iter(PACKAGED)), None)).to("cpu")


def vectors_of(texts, model, folder, **changes):
    return encode(texts, model, **{"files": "f", "batch_size": 1, "cache_folder": folder} | changes)


def test_vectors_are_the_normalized_mean_of_the_last_hidden_states(model, tmp_path):
    vectors, _ = vectors_of(TEXTS, model, tmp_path)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.no_grad():
            states = model[0].auto_model(**model.tokenizer(text, return_tensors="pt")).last_hidden_state[0]  # (T, d)
        mean = states.mean(dim=0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_a_vector_depends_on_its_text_alone(model, tmp_path):
    together, _ = vectors_of(TEXTS, model, tmp_path / "one")
    for text, vector in zip(TEXTS, together, strict=True):
        alone, _ = vectors_of([text], model, tmp_path / text[:3])
        assert alone[0].tobytes() == vector.tobytes()


def test_adding_a_text_encodes_one(model, tmp_path):
    first, count = vectors_of(TEXTS, model, tmp_path)
    assert count == 3
    second, count = vectors_of(["Translate.", *TEXTS], model, tmp_path)
    assert count == 1
    assert second[1:].tobytes() == first.tobytes()
    assert vectors_of(TEXTS, model, tmp_path, files="other")[1] == 3


def test_vectors_of_another_batch_size_or_version_are_not_taken_up(model, tmp_path, monkeypatch):
    assert vectors_of(TEXTS, model, tmp_path)[1] == 3
    assert vectors_of(TEXTS, model, tmp_path, batch_size=2)[1] == 3
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert vectors_of(TEXTS, model, tmp_path)[1] == 3


def test_a_large_batch_moves_a_vector_by_rounding_only(model, tmp_path):
    one, _ = vectors_of(TEXTS, model, tmp_path / "1", batch_size=1)
    many, _ = vectors_of(TEXTS, model, tmp_path / "64", batch_size=64)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_a_vector_that_is_not_finite_is_neither_returned_nor_kept(model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(model, "encode", lambda texts, **_: np.full((len(texts), 384), np.nan, dtype=np.float32))
        with pytest.raises(InputError, match="NaN or infinity for 'Name the colour"):
            vectors_of(TEXTS, model, tmp_path)
    assert vectors_of(TEXTS, model, tmp_path)[1] == 3


def test_tokens_are_counted_before_truncation(model):
    word = "colour " * 300
    assert token_counts(["colour", word], model).tolist() == [3, 302]
    assert model.max_seq_length == 256


def test_every_wording_has_a_row_in_pool_order():
    tasks = [Task("b", "p", "c", "x", ("x", "y")), Task("a", "p", "c", "z", ("z",))]
    assert wordings(tasks) == [("b", 0, "x"), ("b", 1, "y"), ("a", 0, "z")]


def test_a_task_without_instruction_has_no_rows():
    tasks = [Task("a", "p", "chat", "", ("",)), Task("b", "p", "c", "x", ("x",))]
    assert wordings(tasks) == [("b", 0, "x")]


def test_nothing_to_encode_is_a_table_without_rows(model, tmp_path):
    vectors, encoded = vectors_of([], model, tmp_path)
    assert (vectors.shape, encoded) == ((0, 384), 0)


def test_a_blank_wording_is_refused_by_task_and_place():
    with pytest.raises(InputError, match="task b: wording 1 is blank"):
        wordings([Task("b", "p", "c", "x", ("x", " \n"))])


def test_the_summary_counts_per_pool():
    pools, tokens = np.array(["p", "q", "p"]), np.array([3, 300, 10])
    assert summary(pools, tokens, tokens > 256) == {
        "p": {"wordings": 2, "longest": 10, "truncated": 0},
        "q": {"wordings": 1, "longest": 300, "truncated": 1},
    }
