"""The comparison of experiments: what is found in a repository, what is said of it, and the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from compare_repository import CATEGORIES, PARAMS, add, changed, lock, make
from scipy.stats import ttest_rel
from sweep_repository import write_sweep

from instune.errors import InputError
from instune.evaluation.crossed import crossed, holm
from tools.compare import __main__ as compare
from tools.compare import markdown, page, said
from tools.compare.experiments import stale
from tools.compare.groups import of_repository, of_sweep
from tools.compare.remarks import differing
from tools.compare.targets import cells, targets_of
from tools.compare.view import difference_plot, effect_name, titles, view
from tools.sweep.summary import interval, with_holm

ARMS = {"random": {}, "chosen": {"select.method": "instruction"}, "masked": {"finetune.loss_mask": "im"}}
SHIFTS = {"random": 0.0, "chosen": -1.0, "masked": 0.0}
GENERATOR = np.random.default_rng(0)
NLL = {arm: 3 + shift + 0.1 * GENERATOR.normal(size=(5, 3)) for arm, shift in SHIFTS.items()}  # tasks by seeds
METRICS = {"nll": "lower", "exact_match": "higher"}


def params_of(arm: str, seed: int) -> dict:
    return changed(seed=seed, **{key.replace(".", "__"): value for key, value in ARMS[arm].items()})


def score(arm: str, seed: int):
    return lambda task, place: float(NLL[arm][place, seed])


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A sweep called one of three arms under three seeds, of which one experiment is missing."""
    repository = make(tmp_path_factory.mktemp("swept") / "repository")
    for arm in ARMS:
        for seed in range(3):
            if (arm, seed) != ("masked", 1):
                add(repository, f"one-{arm}-s{seed}", params_of(arm, seed), score(arm, seed))
    write_sweep(repository, "one", ARMS, seeds=[0, 1, 2], baseline="random", metrics=METRICS)
    return repository


@pytest.fixture(scope="module")
def shown(swept) -> dict:
    """What is shown of that sweep."""
    return view(of_sweep(swept, "one"))


@pytest.fixture
def repository(tmp_path) -> Path:
    return make(tmp_path / "repository")


def test_a_sweeps_arms_have_crossed_intervals_and_holm_tests_over_all_targets(shown):
    nll = shown["metrics"][0]
    truth = crossed(NLL["chosen"] - NLL["random"], 0.95)
    row = next(row for row in nll["arms"] if row["arm"] == "chosen")
    said = [float(found.replace("−", "-")) for found in re.findall(r"[−\d.]+", row["cells"][3])]
    assert said == pytest.approx([truth.mean, truth.low, truth.high], abs=6e-4)
    assert row["cells"][4].endswith("better")
    assert row["cells"][5] == f"{truth.smallest_effect:.3f}"
    assert "against random; better: chosen (−" in nll["verdict"]
    assert "no difference shown: the other 1" in nll["verdict"]
    assert (shown["experiments"], shown["planned"], shown["targets"]) == (8, 9, 5)
    assert shown["missing"] == {"one-masked-s1": "not run yet"}


def test_cells_are_crossed_over_a_categorys_tasks_over_seeds_for_one_task_and_corrected_together(swept):
    entries = of_sweep(swept, "one").entries
    targets = targets_of(entries)
    assert targets["category"] == {"Colour": ["t1", "t2"], "Shape": ["t3", "t4"], "Size": ["t5"]}
    by_arm = {arm: {one.experiment.seed: one.result for one in entries if one.experiment.arm == arm} for arm in ARMS}
    found = cells(by_arm, "random", "nll", targets["category"])
    minus = NLL["chosen"] - NLL["random"]
    colour, size = found["Colour"]["chosen"]["minus"], found["Size"]["chosen"]["minus"]
    assert colour["p_value"] == pytest.approx(crossed(minus[:2], 0.95).p_value)
    assert size["p_value"] == pytest.approx(ttest_rel(NLL["chosen"][4], NLL["random"][4]).pvalue)
    assert found["Shape"]["masked"]["minus"]["seeds"] == 2
    values = {(target, arm): found[target][arm]["minus"]["p_value"] for target in found for arm in ("chosen", "masked")}
    corrected = holm({" ".join(key): value for key, value in values.items()})
    assert colour["p_holm"] == pytest.approx(corrected["Colour chosen"])
    assert found["Colour"]["random"] == {"mean": pytest.approx(NLL["random"][:2].mean()), "seeds": 3}


def test_an_experiment_of_other_parameters_is_told_and_a_tuned_value_may_be_any(repository):
    tuned = {"key": "finetune.learning_rate", "values": [1, 2], "stage": "x", "report": "x", "measure": "x"}
    write_sweep(repository, "one", {"random": {}, "chosen": ARMS["chosen"]}, baseline="random", metrics=METRICS, tune=[tuned])
    add(repository, "one-random-s0", changed(finetune__learning_rate=2.0), score("random", 0))
    add(repository, "one-chosen-s0", changed(select__method="instruction", select__top_k=9), score("chosen", 0))
    found = of_sweep(repository, "one")
    assert [one.experiment.name for one in found.entries] == ["one-random-s0"]
    assert found.missing == {"one-chosen-s0": "there with other parameters than sweeps/ says now"}
    assert found.settings["random"]["finetune"]["learning_rate"] == 2.0


def test_a_failed_experiment_says_the_last_line_of_its_output(repository):
    write_sweep(repository, "one", {"random": {}, "chosen": ARMS["chosen"]}, baseline="random", metrics=METRICS)
    add(repository, "one-random-s0", PARAMS, score("random", 0))
    folder = repository / ".scratch/sweeps/one"
    folder.mkdir(parents=True)
    (folder / "one-chosen-s0.log").write_text("start\nerror: no memory <left>\n\nERROR: failed to reproduce 'train': ...\n")
    found = of_sweep(repository, "one")
    assert found.missing["one-chosen-s0"] == "failed or not finished, saying last: error: no memory <left>"
    assert "no memory &lt;left&gt;" in page.render(view(found))


def test_hand_made_experiments_are_grouped_by_what_their_scores_depend_on(repository):
    for seed in (0, 1):
        add(repository, f"plain-{seed}", changed(seed=seed), score("random", seed))
        add(repository, f"im-s{seed}", changed(seed=seed, finetune__loss_mask="im"), score("masked", seed))
    add(repository, "again", changed(seed=0, lengths__examples_per_pool=99), score("random", 0))  # scores do not depend on it
    found = of_repository(repository, None)
    assert list(found.sweep.arms) == ["plain-0", "im"]  # by the oldest experiment of each, the committed parameters first
    assert found.sweep.seeds == [0, 1]
    assert len(found.entries) == 4
    assert found.repeated == {"plain-0": "again"}
    assert list(titles(found).values()) == ["loss_mask it", "loss_mask im"]
    assert differing(found.settings) == {"finetune.loss_mask": dict(zip(found.sweep.arms, ("it", "im"), strict=True))}
    other = of_repository(repository, "im-s0")
    assert titles(other)[other.sweep.baseline] == "loss_mask im"
    with pytest.raises(InputError, match=r"baseline: 'x' is no experiment with scores\. There are: again, im-s0"):
        of_repository(repository, "x")


def test_scores_of_other_targets_other_parameters_and_other_code_are_no_part_of_a_comparison(repository):
    add(repository, "plain", PARAMS, score("random", 0))
    add(repository, "others", changed(select__top_k=1), score("random", 0), tasks={"t1": "Colour", "u1": "Colour"})
    add(repository, "old", changed(select__top_k=2), score("random", 0), locked=PARAMS)
    add(
        repository,
        "before",
        {key: value for key, value in PARAMS.items() if key != "finetune"},
        score("random", 0),
        locked=PARAMS,
    )
    found = of_repository(repository, None)
    assert [one.experiment.name for one in found.entries] == ["plain"]
    assert found.missing["others"] == "scored other target tasks: 2, 1 of these 5"
    assert found.missing["old"] == "its scores are older than its parameters: finetune has not run with this select"
    assert found.missing["before"].startswith("its scores are older than its parameters")


def test_a_stage_that_ran_with_another_model_makes_scores_stale():
    content = lock(PARAMS)
    assert stale(content, PARAMS) is None
    content["stages"]["score"]["deps"][0] = {"path": "model", "md5": "another"}
    assert stale(content, PARAMS) == "its scores are older than model: score has not run with it"


def test_duplicates_and_several_codes_are_recognized_and_named(repository):
    arms = {"random": {}, "same": {"select.method": "random"}, "no_effect": {"select.top_k": 7}}
    write_sweep(repository, "one", arms, baseline="random", metrics=METRICS)
    add(repository, "one-random-s0", PARAMS, score("random", 0))
    add(repository, "one-same-s0", PARAMS, score("random", 0))
    add(repository, "one-no_effect-s0", changed(select__top_k=7), score("random", 0), code="2")
    shown = view(of_sweep(repository, "one"))
    assert shown["duplicates"] == [
        "random, same: the same parameters, under other names.",
        "random, same, no_effect: equal scores on every task under every seed; what they differ in had no effect.",
    ]
    assert shown["warnings"] == [
        "The experiments ran with 2 versions of the code or raw data behind the scores (2, 1 experiments), which differ in "
        "train.py: a difference may come from there."
    ]


def test_one_seed_is_tested_over_tasks_and_a_missing_baseline_is_told(repository):
    write_sweep(repository, "one", {"random": {}, "chosen": ARMS["chosen"]}, baseline="random", metrics=METRICS)
    add(repository, "one-chosen-s0", params_of("chosen", 0), score("chosen", 0))
    shown = view(of_sweep(repository, "one"))
    assert shown["warnings"] == ["The baseline random has no experiment: there is nothing to compare with."]
    assert "nothing can be tested against random" in shown["metrics"][0]["verdict"]
    assert page.render(shown)
    add(repository, "one-random-s0", PARAMS, score("random", 0))
    shown = view(of_sweep(repository, "one"))
    assert "better: chosen (−" in shown["metrics"][0]["verdict"]
    assert "One seed: intervals are over tasks alone" in page.render(shown)


class Reader(HTMLParser):
    """Headings, addresses and scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.headings, self.addresses, self.ids = [], [], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        assert tag != "script"
        self.addresses += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        self.ids += [values["id"]] if "id" in values else []


def test_the_page_is_self_contained_escaped_and_repeats(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(CATEGORIES, "t5", "<script>alert(1)</script>")
    repository = make(tmp_path / "repository")
    for arm in ARMS:
        add(repository, f"one-{arm}-s0", params_of(arm, 0), score(arm, 0))
    write_sweep(repository, "one", ARMS, baseline="random", metrics=METRICS)
    compare.main("one", root=repository)
    text = (repository / "reports/sweeps/one.html").read_text()
    assert "<script" not in text
    shown = view(of_sweep(repository, "one"))
    assert text == page.render(shown)
    reader = Reader()
    reader.feed(text)
    assert all(address.startswith("#") for address in reader.addresses)
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(reader.headings, reader.headings[1:], strict=False))
    assert capsys.readouterr().out == markdown.render(shown) + "\n"


def test_markdown_has_every_arm_target_and_reason(shown):
    text = markdown.render(shown)
    lines = text.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| chosen |")] == ["chosen"] * 2
    assert "| Shape |" in text
    assert "| select.method | random | instruction | random |" in lines
    assert "- Not in here: one-masked-s1: not run yet." in lines


def test_what_cannot_be_compared_is_refused(repository):
    with pytest.raises(InputError, match="no experiment with scores is there"):
        compare.main(None, root=repository)
    write_sweep(repository, "one", ARMS, baseline="random", metrics=METRICS)
    with pytest.raises(InputError, match=r"one: none of its 3 experiments is there \(not run yet\)\. Run `make sweep NAME=one`"):
        compare.main("one", root=repository)
    with pytest.raises(InputError, match=r"two.yaml: not found"):
        compare.main("two", root=repository)
    with pytest.raises(InputError, match="names its own"):
        compare.main("one", baseline="x", root=repository)


def test_a_metric_that_is_the_same_everywhere_tells_nothing():
    found = with_holm({"chosen": interval(np.zeros((5, 3))), "masked": interval(np.zeros((5, 1)))})
    assert said.verdict("exact_match", "higher", found, "against random").endswith(
        "against random: the same everywhere, so it tells nothing."
    )
    assert said.smallest("exact_match", found) == ""
    assert difference_plot("exact_match", "higher", found, {}, "differences", "none") == ""
    assert not said.same({"chosen": interval(np.full((5, 3), 0.1)), "masked": found["masked"]})
    assert not said.same({"chosen": None})
    assert said.number("exact_match", found["chosen"]["smallest_effect"]) == "–"


def test_effects_of_a_factorial_sweep_are_on_the_page_and_named_apart(repository):
    factors = {
        "selection": {"random": {"select.method": "random"}, "instruction": {"select.method": "instruction"}},
        "mask": {"it": {"finetune.loss_mask": "it"}, "im": {"finetune.loss_mask": "im"}},
    }
    write_sweep(repository, "two", {}, factors=factors, baseline="random-it", metrics={"nll": "lower"})
    for selection in factors["selection"]:
        for mask in factors["mask"]:
            worth = 1.0 - 0.5 * (selection == "instruction")
            params = changed(select__method=selection, finetune__loss_mask=mask)
            add(repository, f"two-{selection}-{mask}-s0", params, lambda task, place, worth=worth: worth + 0.01 * place)
    found = view(of_sweep(repository, "two"))
    assert [row["effect"] for row in found["metrics"][0]["effects"]] == ["instruction", "im", "instruction × im"]
    assert found["metrics"][0]["effects"][0]["cells"][0] == "−0.500 [−0.500, −0.500]"
    assert "better: instruction (−0.500" in found["metrics"][0]["effects_verdict"]
    assert "Main effects and interactions" in page.render(found)
    assert "| instruction × im |" in markdown.render(found)
    assert effect_name("a=on:b=on", {"a": ["off", "on"], "b": ["off", "on"]}) == "a on × b on"
