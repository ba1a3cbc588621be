import numpy as np
import pytest
from sklearn.decomposition import PCA

from instune.records import Task
from instune.selection.table import Embeddings
from instune.selection.wording_map import TEXT, drawn, plane, wording_map


def test_coordinates_and_shares_are_those_of_scikit_learn():
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32) * np.arange(1, 9)
    found, shares = plane(vectors)
    peer = PCA(2, svd_solver="full").fit(vectors.astype(np.float64))
    theirs = peer.transform(vectors.astype(np.float64))
    assert np.abs(found) == pytest.approx(np.abs(theirs), abs=1e-6)
    assert shares == pytest.approx(peer.explained_variance_ratio_.tolist())


def test_a_component_has_the_sign_of_its_largest_loading():
    points = np.array([[2.0, 0.1], [-2.0, 0.1], [0.0, -1.0], [0.0, 0.8]])
    found, shares = plane(points)
    assert found == pytest.approx(points, abs=1e-6)
    assert shares == pytest.approx([8 / (8 + 1.66), 1.66 / (8 + 1.66)])


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((5, 4)), np.arange(5.0)[:, None] * np.ones((1, 4))])
def test_one_point_equal_points_and_points_on_a_line_have_no_plane(vectors):
    assert plane(vectors.astype(np.float32)) is None


WORDINGS = {"t": [0, 1, 2], "a": [0, 1, 2, 3], "b": [0], "c": list(range(20))}


def test_all_wordings_are_shown_where_they_fit():
    assert len(drawn(WORDINGS, ["t", "a"], seed=0, limit=28)) == 28


def test_targets_and_chosen_keep_theirs_and_the_others_fill_up():
    shown = drawn(WORDINGS, ["t", "a"], seed=0, limit=12)
    assert {key for key in shown if key[0] in "ta"} == {(name, place) for name in "ta" for place in WORDINGS[name]}
    assert len(shown) == 12
    assert shown == drawn(WORDINGS, ["t", "a"], seed=0, limit=12)
    assert shown != drawn(WORDINGS, ["t", "a"], seed=1, limit=12)


@pytest.mark.parametrize(("limit", "each"), [(6, 3), (5, 2), (4, 2), (3, 1), (1, 1)])
def test_where_they_do_not_fit_each_keeps_equally_many_and_one_at_least(limit, each):
    shown = [key for key in drawn(WORDINGS, ["t", "a"], seed=0, limit=limit) if key[0] in "ta"]
    assert shown == [(name, place) for name in "at" for place in range(each)]


def test_points_name_their_wording_category_and_kind_and_hold_none_of_other_tasks():
    tasks = {
        name: Task(name, "tiny", f"about {name}", name * 60, (name * 60, f"{name}1"))
        for name in ("target", "near", "far", "excluded")
    }
    tasks["chat"] = Task("chat", "chat", "chat", "", ("",))
    keys = [(name, place) for name in tasks if name != "chat" for place in (0, 1)]
    vectors = np.random.default_rng(0).normal(size=(len(keys), 4)).astype(np.float32)
    rows = Embeddings(tuple(name for name, _ in keys), np.array([place for _, place in keys]), vectors, np.zeros(8, dtype=bool))
    found = wording_map(rows, tasks, targets=["target"], chosen=["near"], others=["near", "far", "chat"], seed=0)
    assert {point["task_id"]: point["kind"] for point in found["points"]} == {
        "target": "target",
        "near": "chosen",
        "far": "other",
    }
    assert found["of"] == len(found["points"]) == 6
    assert found["points"][0]["category"] == "about far"
    assert found["points"][0]["text"] == ("far" * 60)[:TEXT]
    own = plane(vectors[[keys.index((point["task_id"], point["wording"])) for point in found["points"]]])
    assert [[point["x"], point["y"]] for point in found["points"]] == pytest.approx(own[0], abs=1e-4)


def test_without_embedded_wordings_there_is_no_map():
    empty = Embeddings((), np.zeros(0, dtype=np.int32), np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=bool))
    chat = {"chat": Task("chat", "chat", "chat", "", ("",))}
    assert wording_map(empty, chat, targets=["chat"], chosen=[], others=[], seed=0) is None
