import random

import numpy as np
import pytest

from instune.selection.cache import EmbeddingCache, default_folder

VECTOR = np.array([0.1, -2.5, 3e-9], dtype=np.float32)


def opened(folder, setting="s"):
    return EmbeddingCache(folder, setting)


def test_a_vector_comes_back_bit_for_bit_in_a_later_run(tmp_path):
    first = opened(tmp_path / "new" / "folder")
    first.put({"text": VECTOR})
    first.close()
    found = opened(tmp_path / "new" / "folder").get(["text", "other"])
    assert list(found) == ["text"]
    assert found["text"].tobytes() == VECTOR.tobytes()


def test_another_setting_or_text_is_another_key(tmp_path):
    opened(tmp_path, "max length 128").put({"text": VECTOR})
    assert opened(tmp_path, "max length 256").get(["text"]) == {}
    assert opened(tmp_path, "max length 128").get(["text ", "Text"]) == {}


def test_two_runs_at_once_share_the_file(tmp_path):
    one, two = opened(tmp_path), opened(tmp_path)
    one.put({"a": VECTOR})
    two.put({"b": 2 * VECTOR, "a": VECTOR})
    assert set(one.get(["a", "b"])) == {"a", "b"}


def test_a_folder_that_cannot_be_made_is_said_once_and_the_run_goes_on(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    cache = opened(tmp_path / "file" / "embeddings")
    cache.put({"text": VECTOR})
    assert cache.get(["text"])["text"].tobytes() == VECTOR.tobytes()
    assert capsys.readouterr().out.count("cannot be used") == 1


def test_a_broken_file_is_said_and_left_alone(tmp_path, capsys):
    opened(tmp_path).close()
    (file,) = tmp_path.glob("*.sqlite")
    file.write_bytes(b"no database" * 1000)
    opened(tmp_path).put({"text": VECTOR})
    assert "cannot be used" in capsys.readouterr().out
    assert file.read_bytes().startswith(b"no database")


@pytest.mark.parametrize(("value", "below"), [("cache", "cache"), ("", "home/.cache")])
def test_the_folder_is_the_users_own(tmp_path, monkeypatch, value, below):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / value) if value else "")
    assert default_folder() == tmp_path / below / "instune" / "embeddings"


def test_a_file_that_fails_later_is_said_once_and_memory_takes_over(tmp_path, capsys):
    cache = opened(tmp_path)
    cache._connection.execute("PRAGMA query_only = ON")  # every write fails, as on a full disk
    cache.put({"text": VECTOR})
    cache.put({"other": 2 * VECTOR})
    assert set(cache.get(["text", "other"])) == {"text", "other"}
    assert capsys.readouterr().out.count("cannot be used") == 1


def test_a_file_that_cannot_be_read_any_more_costs_the_vectors_only(tmp_path, capsys):
    cache = opened(tmp_path)
    cache._connection.execute("DROP TABLE vectors")
    assert cache.get(["text"]) == {}
    assert capsys.readouterr().out.count("cannot be used") == 1


def test_a_byte_changed_anywhere_in_the_file_costs_vectors_and_changes_none(tmp_path):
    texts = {f"text {number}": number * VECTOR for number in range(20)}
    cache = opened(tmp_path / "whole")
    cache.put(texts)
    cache.close()
    (file,) = (tmp_path / "whole").iterdir()
    whole, draw, kept = file.read_bytes(), random.Random(0), []
    (tmp_path / "broken").mkdir()
    for _ in range(300):
        inside = whole.rindex(texts[f"text {draw.randrange(1, 20)}"].tobytes()) + draw.randrange(-8, 12)  # keys and vectors
        place = draw.choice([draw.randrange(len(whole)), inside])
        (tmp_path / "broken" / file.name).write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
        )
        cache = opened(tmp_path / "broken")
        found = cache.get(list(texts))
        cache.close()
        assert all(vector.tobytes() == texts[text].tobytes() for text, vector in found.items())
        kept.append(len(found))
    assert set(kept) >= {19, 20}
