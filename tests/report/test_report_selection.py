import re
from dataclasses import replace

import pytest

from instune.report.page import render
from instune.report.selection import text, view
from instune.report.selection_pictures import COLOURS, plane
from tests.report.made import ALIGN, DETAILS, NO_DETAILS, ONE_CHOICE, SELECTION, TASKS, load
from tests.report.parsed import Page

ATTACK = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return replace(load(tmp_path_factory.mktemp("run")), finetune_curves={})


def shown(inputs, *, details=DETAILS, aggregation="vote", **changes):
    params = inputs.params | {"select": {"method": "instruction", "aggregation": aggregation, "top_k": 2}}
    return render(replace(inputs, params=params, selection=SELECTION | {"unranked": 3} | changes, selection_details=details))


def part(page):
    """The section's text, tags left out, blanks joined."""
    section = page[page.index('<section aria-labelledby="selected">') : page.index('<section aria-labelledby="instructions">')]
    return " ".join(re.sub(r"<[^>]*>", " ", section).split())


def drawn(selection):
    return {
        target: [choice | {"score": None, "votes": []} for choice in choices] for target, choices in selection["targets"].items()
    }


def test_scores_margin_and_stability_stand_by_target(inputs):
    rows = Page(shown(inputs)).rows
    assert ["task01_colour", "0.900", "0.830", "0.031", "75 %", "50 %"] in rows
    assert ["task03_topic", "0.900", "0.830", "0.031", "–", "–"] in rows
    assert ["task1_source", "0.830", "1 at rank 1, 1 at rank 2"] in rows


def test_an_aligned_encoder_says_what_it_learned_and_how_far_other_seeds_choose_the_same(inputs):
    scores = {"before": {"pearson": 0.5, "auc": 0.8}, "after": {"pearson": 0.7, "auc": 0.9}}
    report = scores | {"epoch": 3, "alike": "examples", "pairs": {"train": 500, "development": 60}}
    again = {"choices": 3, "overlap": dict.fromkeys(TASKS, 0.625), "development": [{"auc": 0.85}, {"auc": 0.95}]}
    page = shown(replace(inputs, align=report, align_stability=again))
    assert "aligned on 500 pairs (alike: examples); epoch 3 was kept." in part(page)
    assert "On 60 pairs of tasks set apart, cosine against same or other: Pearson 0.500 → 0.700, AUC 0.800 → 0.900." in part(page)
    assert "By other seeds the AUC after alignment is 0.850 to 0.950." in part(page)
    assert ["task01_colour", "0.900", "0.830", "0.031", "75 %", "50 %", "62 %"] in Page(page).rows
    assert "Overlap of 3 alignments: the mean share" in part(page)
    assert "aligned" not in part(shown(inputs))


def test_wordings_that_matched_best_stand_side_by_side_with_the_whole_on_demand(inputs):
    page = Page(shown(inputs))
    long = DETAILS["matches"]["task01_colour"][1]["source_wording"]
    texts = page.texts
    assert texts.count("Name what task01_colour asks for.") == 2
    assert texts.count(long.strip()) == len(TASKS)
    assert texts.count(text(long)["start"]) == len(TASKS)
    assert text(long)["start"].endswith("…")
    assert len(text(long)["start"]) <= 151
    assert text("short") == {"start": "short", "whole": ""}


def test_every_cell_of_the_score_table_tells_its_number_and_the_chosen_ones_are_outlined(inputs):
    page = shown(inputs)
    assert ["task1_source", ".83", ".83", "−.05"] in Page(page).rows
    assert re.findall(r'--depth: (\d+)%"( class="chosen")?', page) == [("45", ' class="chosen"')] * 3 + [
        ("42", ' class="chosen"')
    ] * 2 + [("0", ' class="chosen"')]
    assert "Scores of chosen tasks for every target" in part(page)
    larger = shown(inputs, details=DETAILS | {"scores": DETAILS["scores"] | {"of": [30, 99]}})
    assert "Of 30 targets and 99 chosen tasks the 3 and 2 with the highest scores" in part(larger)


def test_a_score_that_rounds_to_one_keeps_its_one(inputs):
    table = DETAILS["scores"] | {"scores": [[1.0, 0.999, 0.5], [0.0, -0.001, 0.1]]}
    rows = Page(shown(inputs, details=DETAILS | {"scores": table})).rows
    assert ["task0_source", "1.00", "1.00", ".50"] in rows
    assert ["task1_source", ".00", ".00", ".10"] in rows


def test_truncated_instructions_are_named_by_task_and_wording(inputs):
    said = part(shown(inputs))
    assert "4 of the compared texts were not read to their end. Which, of targets and chosen tasks task0_source" in said
    assert "task0_source (wording 1, 3)." in said
    whole = part(shown(inputs, details=DETAILS | {"truncated": {}}, truncated=0))
    assert "The encoder read every compared wording to its end." in whole
    many = {f"task{number:02}": [0] for number in range(25)}
    assert "task19 (wording 1); and those of 5 more tasks." in part(shown(inputs, details=DETAILS | {"truncated": many}))


def test_the_targets_after_the_twentieth_unfold(inputs):
    names = [f"target{number:02}" for number in range(23)]
    changes = {key: dict.fromkeys(names, SELECTION[key]["task01_colour"]) for key in ("targets", "margin")}
    stability = dict.fromkeys(names, DETAILS["stability"]["task01_colour"])
    page = shown(inputs, details=NO_DETAILS | {"stability": stability}, **changes)
    assert "and 3 more targets" in part(page)
    assert sum(len(row) == 6 and row[0] in names for row in Page(page).rows) == 23


def test_where_every_target_has_one_wording_that_is_said(inputs):
    said = part(shown(inputs, details=DETAILS | {"stability": dict.fromkeys(TASKS)}))
    assert "One wording of every target is compared: none can be left out" in said
    assert "verlap" not in said


@pytest.mark.parametrize("aggregation", ["vote", "max", "mean", "mean_of_max"])
def test_the_score_is_named_by_method_and_aggregation(inputs, aggregation):
    cosine, share = (part(shown(inputs, aggregation=aggregation, method=method)) for method in ("instruction", "bm25"))
    assert {"vote": "highest cosine", "max": "highest cosine", "mean": "mean cosine", "mean_of_max": "highest cosine"}[
        aggregation
    ] in cosine
    assert ("A vote at rank" in cosine) == (aggregation == "vote") == ("votes overrule" in cosine)
    assert "it is no cosine" in share
    assert "target source share" in share
    assert "target source cosine" in cosine
    assert "encoder read" not in share
    assert ("The choice did not go by these." in share, "The choice did not go by these." in cosine) == (True, False)


@pytest.mark.parametrize("method", ["examples", "hidden_states", "gradient"])
def test_methods_that_compare_examples_show_scores_and_say_that_wordings_play_no_part(inputs, method):
    details = NO_DETAILS | {"scores": DETAILS["scores"], "map": DETAILS["map"]}
    page = shown(inputs, details=details, method=method, truncated=0)
    said = part(page)
    assert "No wordings are compared" in said
    assert "which could not be chosen: 3." in said
    assert "matched best</p>" not in page
    assert "The choice did not go by these." in said
    assert ["task01_colour", "0.900", "0.830", "0.031"] in Page(page).rows


@pytest.mark.parametrize(
    ("method", "said", "names"),
    [
        ("random", "drawn by seed and target", "task01_colour: task0_source, task1_source."),
        ("category", "An oracle", "task01_colour: task0_source, task1_source; 1 of them from other categories."),
        ("all", "Every source task was taken", "task0_source, task1_source"),
    ],
)
def test_drawn_tasks_are_listed_without_scores(inputs, method, said, names):
    changes = {"targets": drawn(SELECTION), "margin": dict.fromkeys(TASKS), "truncated": 0}
    filled = {"task01_colour": 1} if method == "category" else {}
    page = shown(inputs, details=NO_DETAILS | {"map": DETAILS["map"]}, method=method, filled=filled, **changes)
    assert said in part(page)
    assert names in part(page)
    assert "margin</th>" not in page
    assert Page(page).open == []


def test_the_map_tells_what_it_shows_and_its_targets_lie_on_top(inputs):
    page = shown(inputs)
    said = part(page)
    assert "3 wordings, drawn of 7, by the encoder's embeddings" in said
    assert "hold 25.0 and 12.5 % of their variance" in said
    map_ = plane(DETAILS)
    assert [point["kind"] for point in map_["points"]] == ["other", "chosen", "target"]
    assert [(point["x"], point["y"]) for point in map_["points"]] == [("16.0", "16.0"), ("624.0", "624.0"), ("472.0", "472.0")]
    assert "task9, Colours: Text of task9." in page


def test_ten_categories_have_colours_those_of_targets_first_and_the_rest_are_grey():
    points = [
        {"task_id": "t", "text": "", "category": f"c{number:02}", "kind": kind, "x": float(number), "y": float(number**2)}
        for number in range(13)
        for kind in ["other"] * (13 - number) + ["target"] * (number == 12) + ["chosen"] * (number == 11)
    ]
    map_ = plane({"map": {"points": points, "of": len(points), "shares": [0.5, 0.25]}})
    assert map_["legend"] == ["c12", "c11", *(f"c{number:02}" for number in range(COLOURS - 2))]
    assert map_["grey"] == 3
    assert {point["colour"] for point in map_["points"]} == {*range(10), None}


def test_every_colour_that_the_map_uses_is_in_the_stylesheet(inputs):
    page = shown(inputs)
    assert all(f"--category-{number}:" in page for number in range(COLOURS))
    assert "--grey:" in page


def test_markup_in_a_task_name_a_wording_and_a_category_stays_text(inputs):
    pair = {"task_id": ATTACK, "target_wording": ATTACK, "source_wording": ATTACK * 20, "score": 0.5}
    point = {"task_id": ATTACK, "wording": 0, "text": ATTACK, "category": ATTACK, "kind": "target", "x": 0.0, "y": 0.0}
    details = {
        "stability": {ATTACK: None},
        "matches": {ATTACK: [pair]},
        "scores": {"targets": [ATTACK], "tasks": [ATTACK], "scores": [[0.5]], "of": [1, 1]},
        "truncated": {ATTACK: [0]},
        "map": {"points": [point, point | {"x": 1.0}], "of": 2, "shares": [0.5, 0.25]},
    }
    choices = {ATTACK: [{"task_id": ATTACK, "score": 0.5, "votes": [1]}]}
    for method in ("instruction", "random"):
        changes = {"method": method, "margin": {ATTACK: None}, "selected": [ATTACK]}
        page = shown(inputs, details=details, targets=choices, **changes)
        found = Page(page)
        assert len(found.scripts) == 2
        assert page.count("<script") == 2
        assert found.open == []
        assert ATTACK in " ".join(found.texts)


def test_a_view_without_points_or_scores_is_whole():
    found = view(SELECTION | {"method": "all"}, NO_DETAILS, {}, ALIGN, ONE_CHOICE)
    assert found["map"] is None
    assert found["heat"] is None
