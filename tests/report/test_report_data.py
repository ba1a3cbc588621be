from dataclasses import replace

import pytest

from instune.report.data import left_out_rows, length_rows, more
from instune.report.page import render
from instune.report.plots import length_plot
from tests.report.made import LENGTHS, load
from tests.report.parsed import Page


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return replace(load(tmp_path_factory.mktemp("run")), finetune_curves={})


def page(inputs, lengths=LENGTHS, **changes):
    card = {"playground": inputs.card["playground"] | changes}
    return Page(render(replace(inputs, card=card, lengths=lengths)))


def said(found):
    return " ".join(" ".join(found.texts).split())


def test_counts_splits_settings_and_ratio_are_told(inputs):
    texts = said(page(inputs, examples_with_an_empty_reference=7))
    assert "Tasks 72: 60 train, 12 test" in texts
    assert "Examples 4320, 7 with an empty reference" in texts
    assert "Read with reader: super_natural_instructions, instances_per_task: 60" in texts
    assert "Ratio instruction to output 12.5000" in texts


def test_lengths_on_the_page_equal_the_file(inputs):
    found = page(inputs)
    for part in ("instruction", "input", "output"):
        assert [part, "words", "30.5", "2", "9.5", "27", "40", "60", "70"] in found.rows
        assert [part, "tokens", "40.2", "3", "12", "33", "51", "81", "12\u202f345"] in found.rows
    assert "Lengths in playground, 2000 examples drawn of 4320" in found.texts
    words = "instruction 30.2 and 61; input 30.2 and 61; output 30.2 and 61."
    assert f"Words over all 4320 examples, mean and 95th percentile: {words}" in found.texts


def test_where_all_examples_were_measured_their_words_are_said_once(inputs):
    found = page(inputs, {"playground": LENGTHS["playground"] | {"examples": 4320}})
    assert "Lengths in playground, all 4320 examples" in found.texts
    assert "Words over all" not in said(found)


def test_a_conversations_sides_have_names(inputs):
    sides = {"system_and_user": {"mean": 9.0, "p95": 20.0}, "assistant": {"mean": 90.25, "p95": 200.5}}
    parts = dict.fromkeys(sides, LENGTHS["playground"]["parts"]["input"])
    found = page(inputs, {"playground": {"examples": 9, "of": 10, "parts": parts}}, words=sides)
    assert "system and user 9.0 and 20; assistant 90.2 and 200.5." in said(found)
    assert [row[0] for row in length_rows({"parts": parts})] == ["system and user"] * 2 + ["assistant"] * 2
    assert {"System and user", "Assistant"} <= set(found.texts)


def test_a_pool_of_which_nothing_was_measured_is_still_told(inputs):
    for lengths in ({}, {"playground": {"examples": 0, "of": 0, "parts": {}}}):
        found = page(inputs, lengths)
        assert found.open == []
        assert "playground" in found.texts
        assert "Lengths in playground" not in said(found)


def test_the_fifteen_largest_categories_stand_with_bars_and_the_rest_is_counted(inputs):
    categories = {f"category{number:02}": number for number in range(1, 21)}
    text = render(replace(inputs, card={"playground": inputs.card["playground"] | {"categories": categories}}))
    rows = [row for row in Page(text).rows if row[0].startswith("category") and len(row) == 2]
    assert rows[:15] == [[f"category{number:02}", str(number)] for number in range(20, 5, -1)]
    assert "and 5 more with 15 tasks" in text
    assert text.count('class="bar"') == 15
    assert 'style="width: 100.0%"' in text
    assert 'style="width: 30.0%"' in text  # 6 of 20
    assert "more with" not in said(page(inputs))
    assert more({}, 15) == {"entries": 0, "count": 0}


def test_categories_of_one_task_each_and_a_single_one_are_named_without_bars(inputs):
    single = {f"category{number:02}": 1 for number in range(18)}
    found = page(inputs, categories=single, tasks=18)
    names = ", ".join(sorted(single)[:15])
    assert f"Categories, of one task each: {names} and 3 more." in said(found)
    found = page(inputs, categories={"chat": 2}, tasks=2, splits={"train": 2})
    assert "Category: chat." in found.texts
    assert "Tasks 2 train Examples" in said(found)


def test_what_was_left_out_is_told_by_reason_with_the_first_of_each(inputs):
    assert ["output: not a list", "tasks/task007.json, Instances[4]", "3"] in page(inputs).rows
    reasons = {f"reason{number:02}": number for number in range(1, 18)}
    found = page(inputs, skipped=reasons, first_skipped={name: f"place of {name}" for name in reasons})
    rows = [row for row in found.rows if row and row[0].startswith("reason") and len(row) == 3 and row[0] != "reason"]
    assert rows == [[f"reason{number:02}", f"place of reason{number:02}", str(number)] for number in range(17, 0, -1)]
    assert "and 2 more reasons" in found.texts
    assert "Nothing was left out." in page(inputs, skipped={}, first_skipped={}).texts
    assert left_out_rows({"skipped": {"a": 1}, "first_skipped": {}})["shown"] == [["a", "", "1"]]


def test_overlap_with_targets_is_told_by_pair_of_tasks(inputs):
    assert "No source example has the input of a target example of this pool, or nearly." in page(inputs).texts
    pairs = [{"target": f"t{number}", "source": "s", "exact": 20 - number, "near": number} for number in range(12)]
    found = page(inputs, overlap=pairs, dropped_for_overlap=11)
    assert ["t0", "s", "20", "0"] in found.rows
    assert ["t9", "s", "11", "9"] in found.rows
    assert not any(row[:1] == ["t10"] for row in found.rows)
    assert "and 2 more pairs of tasks" in found.texts
    assert "174 pairs of a source and a target example have equal inputs, 66 nearly equal ones." in said(found)
    assert "11 of them dropped for overlap with targets" in said(found)
    assert ["ingest, playground", "examples dropped for their overlap with targets", "11"] in found.rows


def test_markup_in_anything_that_data_names_stays_text(inputs):
    attack = '<script>alert("1")</script>\'&'
    facts = inputs.card["playground"] | {
        "categories": {attack: 3, "b": 1},
        "splits": {attack: 1},
        "settings": {"reader": attack, "held_out": [attack]},
        "skipped": {attack: 1},
        "first_skipped": {attack: attack},
        "overlap": [{"target": attack, "source": attack, "exact": 1, "near": 0}],
    }
    text = render(replace(inputs, card={attack: facts}, lengths={attack: LENGTHS["playground"]}))
    found = Page(text)
    assert found.open == []
    assert len(found.scripts) == 2
    assert attack not in text
    assert [attack, "3"] in found.rows
    assert [attack, attack, "1", "0"] in found.rows
    alone = Page(render(replace(inputs, card={"playground": facts | {"categories": {attack: 1}}})))
    assert f"Category: {attack}." in alone.texts
    assert len(alone.scripts) == 2


def test_two_pools_are_told_by_name_and_their_figures_share_no_id(inputs):
    card = dict.fromkeys(("zebra", "ape"), inputs.card["playground"])
    found = Page(render(replace(inputs, card=card, lengths=dict.fromkeys(card, LENGTHS["playground"]))))
    assert found.texts.index("ape") < found.texts.index("zebra")
    assert len(set(found.ids)) == len(found.ids)
    assert sum(name.startswith("lengths-1-input") for name in found.ids) > 0


def test_a_figure_of_lengths_is_told_in_words_and_drawn_in_shares():
    svg = length_plot({"words, median 2": [1, 0, 3], "tokens, median 4": [0, 2, 2]}, name="x", title="Input")
    told = "words, median 2: 25 % of 0, 75 % from 2 to 3; tokens, median 4: 50 % of 1, 50 % from 2 to 3."
    assert f'aria-label="Input, share of examples by length. {told}"' in svg
    assert length_plot({"a": [0, 1], "b": [2, 1]}, name="x", title="t") == length_plot(
        {"a": [0, 1], "b": [2, 1]}, name="x", title="t"
    )
