"""The measures of a sweep of loss masks: against numbers by hand, a peer's BLEU, and the split that finetune makes."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu
from sweep_repository import commit, run

from instune.config import read_params
from instune.evaluation.predictions import write_predictions
from instune.results import read_json
from instune.tuning.mixture import split_validation
from tests.report.made import predictions
from tools.masks import __main__ as tool
from tools.masks import plot
from tools.masks.plot import arms_svg, gains_svg
from tools.masks.study import Run, bleu_4, gains, line, recalled, run_of, spread, summarize
from tools.sweep.plan import Experiment

PARTS = 8


def experiment(arm: str, seed: int, **finetune) -> Experiment:
    params = {"validation_share": 0.125, "loss_mask": "it", "normalize_by": "examples", **finetune}
    return Experiment(f"masks-{arm}-s{seed}", arm, seed, {"finetune": params})


def said(outputs: list[str], wanted: list[str]) -> list:
    made = predictions("tuned")[0]
    pairs = zip(outputs, wanted, strict=True)
    return [replace(made, task_id="masks_recall:part_0", output=output, references=[text, "x"]) for output, text in pairs]


def test_bleu_is_that_of_a_peer_on_plain_words_and_100_for_what_is_known_by_heart():
    wanted = ["the cat sat on the mat today", "a red door is open now"]
    outputs = ["the cat sat on the mat", "the red door is open now again"]
    peer = corpus_bleu([[text.split()] for text in wanted], [text.split() for text in outputs])
    assert bleu_4(said(outputs, wanted)) == pytest.approx(100 * peer, rel=1e-9)
    assert bleu_4(said(wanted, wanted)) == pytest.approx(100)


def test_the_part_that_a_seed_holds_out_is_not_memorized():
    tasks = [f"masks_recall:part_{number}" for number in range(PARTS)]
    for seed in range(4):
        again = recalled(experiment("it", seed), [*tasks, "masks_held_out:part_0"])
        _, held = split_validation([f"masks_train:part_{number}" for number in range(PARTS)], share=0.125, seed=seed)
        assert set(tasks) - set(again) == {held[0].replace("train", "recall")}


def made_run(arm: str, seed: int, shift: float, **finetune) -> Run:
    one = experiment(arm, seed, **finetune)
    tasks = {f"masks_held_out:part_{number}": {"nll": 2 + 0.1 * number + shift + 0.01 * seed} for number in range(3)}
    tasks |= {f"masks_recall:part_{number}": {"nll": 1 - shift} for number in range(PARTS)}
    scores = {"models": {"tuned": {"tasks": tasks}}}
    answers = [replace(row, task_id=task) for task in tasks if "recall" in task for row in said(["a b c d e"], ["a b c d e"])]
    return run_of(one, scores, {"instruction_output_ratio": 0.5, "rows": {"training": 112}}, answers)


def test_losses_and_differences_by_hand():
    runs = [made_run(arm, seed, shift) for arm, shift in (("it", 0.0), ("im", -0.5)) for seed in (0, 1, 2)]
    arms = summarize(runs, ["it", "im", "other"], "it")
    assert list(arms) == ["it", "im"]
    measures = arms["im"]["measures"]
    assert measures["held_out_nll"]["mean"] == pytest.approx(2.1 - 0.5 + 0.01)
    assert measures["held_out_nll"]["minus_baseline"]["mean"] == pytest.approx(-0.5)
    assert measures["train_nll"]["minus_baseline"]["mean"] == pytest.approx(0.5)
    assert measures["bleu_4"]["mean"] == pytest.approx(100)
    assert measures["bleu_4"]["by_seed"] == {"0": 100.0, "1": 100.0, "2": 100.0}
    assert "minus_baseline" not in arms["it"]["measures"]["held_out_nll"]


def test_an_interval_over_seeds_where_there_is_one_value_a_seed():
    values = spread(np.array([[1.0, 2.0, 3.0]]))
    assert (values["mean"], values["low"]) == (2.0, pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-6))


def test_gain_is_what_it_loses_on_held_out_rows():
    runs = [made_run(arm, seed, shift) for arm, shift in (("it_x", 0.25), ("im_x", 0.0), ("it_y", 0.0)) for seed in (0, 1)]
    found = gains(runs, {"x": ("it_x", "im_x"), "y": ("it_y", "im_y")})
    assert set(found) == {"x"}
    assert found["x"]["mean"] == pytest.approx(0.25)
    assert (found["x"]["ratio"], found["x"]["rows"]) == (0.5, 112)


def test_the_line_goes_through_points_on_it_in_the_natural_logarithm():
    assert line([(x, 18.85 * math.log(x) + 25.83) for x in (0.1, 1.0, 26.0)]) == (pytest.approx(18.85), pytest.approx(25.83))
    assert line([(2.0, 1.0), (2.0, 3.0)]) is None


def test_weights_are_of_the_arms_that_differ_in_them_alone():
    partly = {"template": 0.0, "system": 0.1, "instruction": 0.1, "examples": 0.1, "input": 0.1, "output": 1.0}
    arms = {"it": {}, "part": {"loss_mask": partly}, "im": {"loss_mask": "im"}, "released": {"loss_mask": "released_im"}}
    arms["other"] = {"loss_mask": "im", "normalize_by": "output_tokens"}
    found = tool.instruction_weights([experiment(arm, 0, **keys) for arm, keys in arms.items()], "it")
    assert found == {"it": 0.0, "part": 0.1, "im": 1.0}


def test_summary_figures_and_table_of_a_finished_sweep(tmp_path, capsys):
    names = {"it_ratio_a": (0.3, 1), "im_ratio_a": (0.0, 1), "it_ratio_b": (0.1, 3), "im_ratio_b": (0.0, 3)}
    sweep = "about: a\nprofile: p\nseeds: [0, 1]\nbaseline: it_ratio_a\nmetrics: {nll: lower}\narms:\n"
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/s.yaml").write_text(sweep + "".join(f"  {name}: {{}}\n" for name in names))
    runs = [replace(made_run(name, seed, shift), ratio=ratio) for name, (shift, ratio) in names.items() for seed in (0, 1)]
    tool.write("s", tmp_path, runs, ["s-x-s0"])
    content = read_json(tmp_path / "reports/masks/s.json")
    assert content["gains"]["ratio_b"]["mean"] == pytest.approx(0.1)
    assert content["fits"]["ratio"] == [pytest.approx(-0.2 / math.log(3)), pytest.approx(0.3)]
    assert content["fits"]["rows"] is None
    printed = capsys.readouterr().out
    assert "INCOMPLETE, missing: s-x-s0" in printed
    assert "ratio_a: ratio 1.00, 112 rows, IM's gain +0.300" in printed
    assert "IM's gain by" in (tmp_path / "reports/masks/s-gains.svg").read_text()
    assert "BLEU-4" in (tmp_path / "reports/masks/s.svg").read_text()


def test_equal_data_give_equal_figures():
    arms = summarize([made_run(arm, seed, 0.1 * seed) for arm in ("it", "im") for seed in (0, 1)], ["it", "im"], "it")
    drawing = arms_svg(arms, {"it": 0.0, "im": 1.0}, "it")
    assert drawing == arms_svg(arms, {"it": 0.0, "im": 1.0}, "it")
    assert "minus that of it" in drawing
    one = [{"ratio": 1.0, "rows": 5, "mean": 0.1, "low": None, "high": None}]
    drawn = gains_svg(one, one)
    assert "ln x" not in drawn
    assert "mathdefault" not in drawn  # tick labels are plain text


def test_what_is_drawn_of_an_arm_is_its_paired_difference_and_that_of_each_seed_that_both_have():
    runs = [
        made_run("it", 0, 0.1),
        made_run("it", 1, 0.3),
        made_run("im", 0, 0.6),
        made_run("im", 1, 0.4),
        made_run("im", 2, 9.0),
    ]
    arms = summarize(runs, ["it", "im"], "it")
    said, seeds = plot._minus(arms, "im", "held_out_nll", "it")
    assert said["mean"] == pytest.approx(0.3)
    assert seeds == pytest.approx([0.5, 0.1])
    assert plot._minus(arms, "it", "held_out_nll", "it") == ({"mean": 0.0, "low": None, "high": None}, [])


def test_predictions_are_read_as_the_revision_has_them(tmp_path):
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, sys.executable, "-m", "dvc", "init", "--quiet")
    rows = said(["now"], ["then"])
    write_predictions(tmp_path / "data/predictions/tuned", rows)
    run(tmp_path, sys.executable, "-m", "dvc", "add", "--quiet", "data/predictions/tuned")
    commit(tmp_path, "before")
    write_predictions(tmp_path / "data/predictions/tuned", said(["later"], ["then"]))
    assert tool.predictions_at(tmp_path, "HEAD") == rows


def test_the_sweeps_share_their_recipe_but_for_what_they_compare():
    profile = read_params(tool.ROOT / "profiles/masks-mini.yaml")
    assert profile["prompt"]["template"] == "tulu"
    assert profile["finetune"]["validation_share"] * PARTS == 1
