"""The figure: where points stand, and labels that lie apart, whatever the figures are."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tools.quality import plot

SETTINGS = {"top_k": 5, "beds": [0, 1], "confidence": 0.95}


def made(costs, means, half=0.2):
    """A summary of as many selectors."""
    selectors = {
        f"selector number {number}": {
            "flops": cost,
            "measures": {"regret_nll": {"mean": mean, "low": mean - half, "high": mean + half}},
        }
        for number, (cost, mean) in enumerate(zip(costs, means, strict=True))
    }
    return {"settings": SETTINGS, "selectors": selectors}


def test_costs_keep_their_order_zeros_stand_apart_and_equal_ones_side_by_side():
    found = plot.places([10**9, 0, 10**12, 10**9, 0])
    assert found[1] < found[4] < 10**8 < found[0] < found[3] < found[2]
    assert found[2] == pytest.approx(10**12)  # alone
    assert [found[4] / found[1], found[3] / found[0]] == pytest.approx([plot.APART] * 2)
    assert found[0] * found[3] == pytest.approx(10**18)  # around their common cost
    assert plot.places([0, 0])[0] < plot.places([0, 0])[1]


def test_no_two_costs_stand_closer_than_apart():
    draw = np.random.default_rng(0)
    for _ in range(20):
        costs = (10 ** draw.uniform(8, 10, size=12)).astype(int).tolist()
        found = sorted(zip(costs, plot.places(costs), strict=True))
        assert all(two[1] / one[1] >= plot.APART * (1 - 1e-9) for one, two in pairwise(found))


def test_the_shared_area_of_boxes():
    one = Bbox.from_extents(0, 0, 4, 2)
    assert plot.overlap(one, Bbox.from_extents(3, 1, 9, 9)) == 1
    assert plot.overlap(one, Bbox.from_extents(4, 0, 5, 2)) == 0
    assert plot.overlap(one, one) == 8


def test_a_label_takes_the_nearest_free_place_and_says_when_there_is_none():
    asked = {"point": (0, 0), "size": (10, 4)}
    right, line = plot.free_place(**asked, taken=[], marks=[], lines=[])
    assert (right.x0, right.y0) == (plot.REACHES[0], -2)
    assert line.vertices.tolist() == [[0, 0], [plot.REACHES[0] + 5, 0]]
    for avoided in ({"taken": [right]}, {"marks": [right]}, {"lines": [line]}):
        left, _ = plot.free_place(**asked, **{"taken": [], "marks": [], "lines": [], **avoided})
        assert left.x1 == -plot.REACHES[0]
    wide = Bbox.from_extents(-999, -999, 999, 999)
    assert plot.free_place(**asked, taken=[], marks=[wide], lines=[])[0].x0 == plot.REACHES[0]
    with pytest.raises(ValueError, match="no room"):
        plot.free_place(**asked, taken=[wide], marks=[], lines=[])


@pytest.mark.parametrize("seed", range(4))
def test_no_label_covers_another_or_leaves_the_axes(seed):
    draw = np.random.default_rng(seed)
    costs = draw.choice([0, 10**6, 10**11, 3 * 10**11, 10**13], size=15).tolist()
    with mpl.rc_context(plot.STYLE):
        figure, labels = plot.draw(made(costs, draw.uniform(0, 2.5 if seed else 0.1, size=15)))
        figure.draw_without_rendering()
        boxes = [Text.get_window_extent(label) for label in labels]
        frame = figure.axes[0].get_window_extent()
    assert len(boxes) == 15
    assert all(plot.overlap(one, two) == 0 for one, two in combinations(boxes, 2))
    assert all(plot.overlap(box, frame) == pytest.approx(box.width * box.height) for box in boxes)


def test_the_figure_says_what_it_is_and_repeats_byte_for_byte():
    summary = made([0, 10**11], [2.0, 1.0])
    svg = plot.scatter(summary)
    assert svg == plot.scatter(summary)
    said = " ".join(ElementTree.fromstring(svg).itertext())
    for words in ("selector number 1", "seed 0, 1", "reshaped after a look at instruction and random", "none", "1e12"):
        assert words in said


def test_a_single_target_has_a_point_without_interval():
    summary = made([10], [0.5])
    summary["selectors"]["selector number 0"]["measures"]["regret_nll"] |= {"low": None, "high": None}
    assert "selector number 0" in plot.scatter(summary)
