"""The page in a real browser; skipped where no Chromium is installed."""

import json
from dataclasses import replace

import pytest

from instune.evaluation.predictions import write_predictions
from instune.report.browser import OUTCOMES, SHOWN_TEXT
from instune.report.inputs import Pair, read_pairs
from instune.report.page import render
from tests.report.chromium import CHROMIUM, visit
from tests.report.made import LEARNED, TASKS, load, predictions

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
SHOWN = "[...page.querySelectorAll('#shown .sample')]"
HOSTILE = {
    "task01_colour-0": '</script><script>document.title = "owned"</script><img src="http://127.0.0.1:9/x" onerror="alert(1)">',
    "task01_colour-1": "<!-- <script> --> \u2028 \\u003c &lt; \x00 \x1b[31m",
    "task01_colour-2": "red \U0001f34e\U0001f468\u200d\U0001f469\u200d\U0001f467 \u202eright to left override",
    "task01_colour-3": "\u05d0\u05d3\u05d5\u05dd \u0623\u062d\u0645\u0631",
    "task02_price-0": "",
    "task02_price-1": "x" * 10_000_000,
    "task02_price-2": " \n\t ",
    "task02_price-3": "half a pair: \ud83d",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return load(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(inputs):
    return render(inputs)


@pytest.fixture(scope="module")
def hostile(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for model in ("base", "tuned"):
        write_predictions(folder / model, predictions(model, HOSTILE))
    return render(replace(inputs, pairs=read_pairs(folder / "base", folder / "tuned")))


def test_the_visit_sees_an_error_a_request_and_a_page_that_is_too_wide(tmp_path):
    bad = '<!doctype html><img src="http://127.0.0.1:9/x"><div style="width: 700px">x</div><script>throw Error("no")</script>'
    seen = visit(bad, tmp_path, width=390)
    assert any("no" in line for line in seen["console"])
    assert seen["loaded"] == ["http://127.0.0.1:9/x"]
    assert seen["scrollWidth"] > seen["width"] > 350


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_logged_or_loaded_and_the_page_is_not_wider_than_the_screen(text, tmp_path, width):
    seen = visit(text, tmp_path, width=width)
    assert seen["console"] == []
    assert seen["loaded"] == []
    assert seen["scrollWidth"] <= seen["width"]


def test_the_verdict_and_its_plot_stand_on_a_phones_first_screen(text, tmp_path):
    look = "return page.querySelector('figure svg').getBoundingClientRect().bottom;"
    assert visit(text, tmp_path, width=390, look=look)["found"] < 844


def test_the_filters_show_the_examples_that_they_name_and_more_on_demand(text, tmp_path):
    look = f"""
      const at = (id) => page.getElementById(id), seen = () => {SHOWN}.map((one) => one.querySelector(".facts").textContent);
      const choose = (id, value) => {{ at(id).value = value; at(id).dispatchEvent(new Event("change")); }};
      const found = {{few: at("few").hidden, browser: at("browser").hidden, first: seen(), status: at("found").textContent}};
      at("more").click(); found.more = seen(); at("more").click(); found.all = seen(); found.end = at("more").hidden;
      choose("task", "task02_price"); found.task = seen();
      choose("outcome", "{OUTCOMES[False, True]}"); found.both = seen();
      choose("outcome", "{OUTCOMES[True, False]}"); found.none = seen(); found.none_status = at("found").textContent;
      return found;"""
    found = visit(text, tmp_path, width=390, look=look)["found"]
    assert (found["few"], found["browser"]) == (True, False)
    assert found["status"] == "5 of 12 examples"
    assert [len(found[name]) for name in ("first", "more", "all", "task", "both", "none")] == [5, 10, 12, 4, 2, 0]
    assert found["end"] is True
    assert [said.split(":")[0] for said in found["task"]] == [f"task02_price-{number}" for number in range(4)]
    assert [said.split(":")[0] for said in found["both"]] == ["task02_price-0", "task02_price-2"]
    assert found["none_status"] == "No example is so."


def test_hostile_answers_stay_text_to_the_letter_and_do_not_widen_the_page(hostile, tmp_path):
    look = f"""
      while (!page.getElementById("more").hidden) page.getElementById("more").click();
      return {SHOWN}.map((one) => [one.querySelector(".facts").textContent.split(":")[0],
                                   one.querySelector(".answers pre").textContent, one.textContent]);"""
    seen = visit(hostile, tmp_path, width=390, look=look)
    assert (seen["console"], seen["loaded"]) == ([], [])
    assert seen["scrollWidth"] <= seen["width"]
    said = {example: (answer, whole) for example, answer, whole in seen["found"]}
    assert len(said) == 4 * len(TASKS)
    for example, answer in HOSTILE.items():
        assert said[example][0] == answer[:SHOWN_TEXT].replace("\ud83d", "?"), example
    assert f"and {10_000_000 - SHOWN_TEXT} more characters" in said["task02_price-1"][1]
    assert "empty" in said["task02_price-0"][1]


def test_names_that_cannot_be_broken_do_not_widen_the_page(inputs, tmp_path):
    name = "an_endless_name_" * 12
    scores = json.loads(json.dumps(inputs.scores).replace("task01_colour", name).replace("Topic Classification", name[:-1]))
    selection = json.loads(json.dumps(inputs.selection).replace("task0_source", name).replace("task01_colour", name))
    details = json.loads(json.dumps(inputs.selection_details).replace("task0_source", name).replace("task01_colour", name))
    pairs = [Pair(*(replace(row, task_id=name, example_id=name) for row in (pair.base, pair.tuned))) for pair in inputs.pairs]
    params = inputs.params | {"targets": inputs.params["targets"] | {"by": "tasks", "values": [name]}}
    card = {name: inputs.card["playground"] | {"categories": {name: 3, "b": 1}, "splits": {name: 1}}}
    changes = {"scores": scores, "selection": selection, "selection_details": details, "pairs": pairs, "params": params}
    text = render(replace(inputs, **changes, card=card, optimize=LEARNED))
    seen = visit(text, tmp_path, width=390)
    assert seen["scrollWidth"] <= seen["width"]


def test_ten_megabytes_of_answer_leave_the_page_small(text, hostile):
    assert len(hostile) < len(text) + 10 * SHOWN_TEXT


def test_without_a_script_the_first_examples_are_there(text, tmp_path):
    still = text.replace("script-src 'sha256-", "script-src 'sha256-other")
    look = "return [page.getElementById('few').hidden, page.getElementById('browser').hidden];"
    seen = visit(still, tmp_path, width=390, look=look)
    assert seen["found"] == [False, True]
    assert any("Content Security Policy" in line for line in seen["console"])


@pytest.mark.parametrize("dark", [False, True])
def test_colours_follow_what_the_reader_prefers(text, tmp_path, dark):
    look = "return page.defaultView.getComputedStyle(page.body).backgroundColor;"
    found = visit(text, tmp_path, width=390, look=look, dark=dark)["found"]
    assert found == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
