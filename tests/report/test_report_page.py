import base64
import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest

from instune.errors import InputError
from instune.evaluation.floors import questions_of
from instune.evaluation.predictions import write_predictions
from instune.evaluation.scores import all_scores
from instune.records import Example, Exemplar, Task
from instune.report.asked import target_name
from instune.report.cautions import PACKAGED_NOTE
from instune.report.inputs import read_curves, read_pairs
from instune.report.page import SECTIONS, render
from tests.report.made import FLOORS, LEARNED, NO_DETAILS, TASKS, load, predictions, write_run
from tests.report.parsed import Page


@pytest.fixture
def inputs(tmp_path):
    return load(tmp_path)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The page of the made run."""
    return render(load(tmp_path_factory.mktemp("run")))


def test_the_page_is_well_formed_self_contained_and_its_ids_are_unique(text):
    page = Page(text)
    assert page.open == []
    assert all(address.startswith("#") for address in page.addresses)
    assert "url(http" not in text
    assert "@import" not in text
    assert not {"link", "iframe", "object", "base", "img"} & page.tags
    assert len(set(page.ids)) == len(page.ids)
    links = {address[1:] for tag, name, address in page.attributes if tag == "a"}
    assert links == set(SECTIONS) <= set(page.ids)


def test_the_policy_allows_the_pages_own_script_and_nothing_else(text):
    page = Page(text)
    (policy,) = [value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "-src" in value]
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_every_figure_has_a_name_for_those_who_do_not_see_it(text):
    images = [tag for tag, name, value in Page(text).attributes if (tag, name, value) == ("svg", "role", "img")]
    named = [value for tag, name, value in Page(text).attributes if tag == "svg" and name == "aria-label" and len(value) > 20]
    assert len(images) == len(named) >= 6


def test_question_verdict_and_plot_come_first_and_sections_in_the_order_of_their_links(text):
    places = [text.index(f'<h2 id="{name}">') for name in SECTIONS]
    assert places == sorted(places)
    first = [text.index(part) for part in ("Can smollm2", "Tuning raised exact match: ", "<figure>", "<nav", "<h2")]
    assert first == sorted(first)


def test_headings_start_at_one_and_skip_no_level(text):
    levels = Page(text).levels
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_equal_inputs_give_equal_bytes(tmp_path):
    assert render(load(tmp_path / "a")) == render(load(tmp_path / "b"))


def test_markup_in_an_answer_a_task_name_and_a_reason_stays_text(tmp_path):
    inputs = load(tmp_path)
    attack = "<script>alert(1)</script>"
    write_predictions(tmp_path / "tuned", predictions("tuned", {"task01_colour-0": attack + "\"'&"}))
    card = {attack: inputs.card["playground"] | {"skipped": {attack: 1}, "first_skipped": {attack: attack}}}
    pairs = read_pairs(tmp_path / "base", tmp_path / "tuned")
    selection = inputs.selection | {
        "targets": {attack: inputs.selection["targets"]["task01_colour"]},
        "margin": {attack: None},
    }
    curves = {attack: {attack: [(0, 1.0), (1, 0.5)]}}
    changes = {"card": card, "pairs": pairs, "selection": selection, "selection_details": NO_DETAILS}
    text = render(replace(inputs, **changes, finetune_curves=curves))
    assert len(Page(text).scripts) == 2
    assert attack not in text
    assert attack + "\"'&" in Page(text).texts


def test_numbers_on_the_page_equal_those_in_the_scores(inputs, text):
    rows = [[cell.strip() for cell in row] for row in Page(text).rows]
    for model, scored in inputs.scores["models"].items():
        for metric in ("exact_match", "rouge_l"):
            whole = scored["overall"][metric]
            said = "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * whole[key] for key in ("mean", "low", "high")))
            assert any(row[0:3:2] == [model, said.replace("-", "−")] for row in rows)
    models, floors = inputs.scores["models"], inputs.scores["floors"]
    for task, category in TASKS.items():
        parts = [models["base"]["tasks"][task], models["tuned"]["tasks"][task]]
        means = [100 * part["exact_match"] for part in parts]
        row = [task, category, "4", *(f"{mean:.1f}" for mean in means), f"{means[1] - means[0]:+.1f}"]
        row += [f"{100 * floors[floor]['tasks'][task]['exact_match']:.1f}" for floor in FLOORS]
        assert row in rows


def test_what_was_left_out_of_every_stage_is_told(text):
    rows = Page(text).rows
    assert ["ingest, playground", "left out; the reasons stand under Data", "3"] in rows
    assert ["finetune", "truncated: instruction", "17"] in rows
    assert ["finetune", "dropped: row longer than max_tokens with an empty input", "1"] in rows


def test_tokens_and_loss_weight_of_every_segment_are_on_the_page(text):
    rows = Page(text).rows
    assert ["instruction", "40\u202f000", "48.5 %", "0"] in rows
    assert ["output", "3500", "4.2 %", "1"] in rows


def test_learned_instructions_are_told_by_fold_and_beside_the_human_ones(inputs):
    assert "Human: every task was trained with the instructions of its pool." in Page(render(inputs)).texts
    page = Page(render(replace(inputs, optimize=LEARNED, optimize_curves={"outer_loss": {"fold0": [(0, 2.5), (1, 1.25)]}})))
    assert "embedder_direct. Tasks with a learned instruction: 1; with the human one: 1." in page.texts
    assert ["outer loss", "2.5", "1.25"] in page.rows
    assert ["mean cosine distance", "0.5", "0.5"] in page.rows
    assert ["optimize_instructions", "dropped: row longer than max_tokens with an empty input", "5"] in page.rows


def test_three_examples_a_task_with_right_and_wrong_marked(text):
    texts = Page(text).texts
    assert "task01_colour-2" in texts
    assert "task01_colour-3" not in texts
    assert texts.count("✓ exact match") == 2 * len(TASKS)
    assert texts.count("✗ no exact match") == 4 * len(TASKS)


def test_the_packaged_model_is_never_shown_without_saying_what_it_is(inputs):
    assert render(inputs).count(PACKAGED_NOTE) >= 5
    hub = inputs.params | {"base_model": {"source": "hub", "name": "org/model", "revision": "0" * 40}}
    text = render(replace(inputs, params=hub))
    assert PACKAGED_NOTE not in text
    assert "org/model" in text


def test_a_page_without_floors_categories_curves_and_samples_is_still_whole(inputs):
    scores = inputs.scores | {"floors": {}}
    scores["models"] = {name: model | {"categories": {}} for name, model in scores["models"].items()}
    bare = replace(inputs, scores=scores, finetune_curves={}, pairs=[], card={}, selection=inputs.selection | {"truncated": 0})
    page = Page(render(bare))
    assert page.open == []
    assert "No floor was scored in exact match." in page.texts


def test_one_task_gives_a_page_without_intervals(inputs):
    scores = inputs.scores
    for part in (*scores["models"].values(), *scores["floors"].values()):
        for score in part["overall"].values():
            score |= {"low": None, "high": None}
    for difference in scores["differences"].values():
        for score in difference.values():
            score |= {"low": None, "high": None}
    texts = Page(render(inputs)).texts
    assert "No difference shown in exact match: +45.0 points without an interval, from 5.0 to 50.0." in texts


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"by": "split", "values": ["test"]}, "the test split"),
        ({"by": "tasks", "values": ["a", "b"]}, "a, b"),
        ({"by": "tasks", "values": list("abcde")}, "a, b, c and 2 more"),
        ({"by": "pool", "values": ["bbh"]}, "the pool bbh"),
    ],
)
def test_targets_have_a_short_name(targets, said):
    assert target_name(targets) == said


def test_curves_of_one_name_share_a_panel_and_empty_ones_are_left_out(inputs):
    assert inputs.finetune_curves["loss"] == {
        "train": [(0, 3.1), (10, 2.0), (20, 1.4), (30, 1.1)],
        "validation": [(0, 2.9), (10, 1.5)],
    }
    assert inputs.optimize_curves == {}


def test_predictions_of_other_examples_are_refused(tmp_path):
    write_run(tmp_path)
    write_predictions(tmp_path / "tuned", predictions("tuned")[:-1])
    with pytest.raises(InputError, match="task03_topic-3"):
        read_pairs(tmp_path / "base", tmp_path / "tuned")


def test_the_scores_of_the_score_stage_have_the_form_that_the_page_reads(inputs):
    tasks = {
        name: Task(name, "made", category, "Name it.", ("Name it.",), positive_examples=(Exemplar("a", "red"),))
        for name, category in TASKS.items()
    }
    models = {model: predictions(model) for model in ("base", "tuned")}
    pool = [Example(*row.place, "Apple is red.", tuple(row.references)) for row in models["base"]]
    questions = questions_of(pool, {row.place for row in models["base"]})
    made = all_scores(models, tasks, questions, confidence=0.95)
    page = Page(render(replace(inputs, scores=made)))
    assert ["copied demonstration", "3", "100.0 [100.0, 100.0]", "100.0", "−50.0 [−50.0, −50.0]"] in page.rows
    assert "The tuned model stays below the best floor, majority output (100.0): −50.0 points [−50.0, −50.0]." in page.texts
    assert ["evaluate, base", "answers cut at evaluate.max_new_tokens", "12"] in page.rows


def test_accuracy_of_choice_tasks_is_on_the_page_over_the_tasks_that_have_it(inputs):
    scores, value = inputs.scores, {"mean": 0.25, "low": None, "high": None, "tasks": 1}
    for model in scores["models"].values():
        model["overall"]["accuracy"] = model["categories"]["Topic Classification"]["accuracy"] = value
        model["official"]["accuracy"] = model["tasks"]["task03_topic"]["accuracy"] = 0.25
    scores["differences"]["tuned-base"]["accuracy"] = value | {"mean": 0.0}
    page = Page(render(inputs))
    assert "Choice accuracy" in page.texts
    assert ["Topic Classification", "1", "25.0", "25.0", "0.0"] in page.rows
    assert ["task03_topic", "Topic Classification", "4", "25.0", "25.0", "0.0"] in page.rows
    assert sum(row[0] == "Extraction" and len(row) == 5 for row in page.rows) == 1  # NLL alone


def test_tasks_drawn_at_random_are_not_called_the_best(inputs):
    params = inputs.params | {"select": {"method": "random", "top_k": 2}}
    text = render(replace(inputs, params=params, selection=inputs.selection | {"method": "random"}, selection_details=NO_DETAILS))
    assert "2 drawn for each target" in text
    assert "the best 2" not in text


def test_a_curve_row_without_value_is_left_out(tmp_path):
    path = tmp_path / "plots" / "metrics" / "outer_loss.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("step\touter_loss\n0\t\n")
    assert read_curves(tmp_path) == {}
