"""Factors of a sweep: the arms they combine to, and effects against made-up scores whose effects are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from statsmodels.formula.api import ols
from sweep_repository import PARAMS, SWEEP, write_yaml

from instune.errors import InputError
from instune.evaluation.crossed import crossed, holm
from tools.sweep.effects import combined, contrasted, contrasts, described
from tools.sweep.plan import Experiment, Sweep, experiments_of, read_sweep
from tools.sweep.summary import Result, summarize
from tools.sweep.table import table

TASKS = [f"task{number}" for number in range(6)]
FACTORS = {"a": ["a0", "a1"], "b": ["b0", "b1"], "c": ["c0", "c1"]}
WRITTEN = {
    "method": {"plain": {"select.method": "plain"}, "good": {"select.method": "good"}},
    "length": {"short": {"finetune.epochs": 1}, "long": {"finetune.epochs": 9}},
}


def read(folder, factors, **changes):
    """A sweep file with these factors."""
    write_yaml(folder / "profiles/made.yaml", PARAMS)
    write_yaml(folder / "sweeps/one.yaml", {**SWEEP, "baseline": "plain-short", "factors": factors, **changes})
    return read_sweep(folder / "sweeps/one.yaml")


def test_every_combination_of_levels_is_an_arm(tmp_path):
    found = {one.arm: one.params for one in experiments_of("one", read(tmp_path, WRITTEN), tmp_path, {})}
    assert list(found) == ["plain-short", "plain-long", "good-short", "good-long"]
    assert found["good-long"] == {"seed": 0, "select": {"method": "good"}, "finetune": {"epochs": 9}}


@pytest.mark.parametrize(
    ("factors", "changes", "said"),
    [
        ({}, {}, "arms, factors: none is there"),
        (WRITTEN, {"arms": {"plain": {}}}, "arms, factors: both are there"),
        ({"a": {"only": {}}}, {}, "factors.a: has 1 level(s). Give at least two"),
        (WRITTEN | {"again": WRITTEN["length"]}, {}, "factors.again: finetune.epochs is set by length too"),
        ({"a": {"x-y": {}, "x": {}}, "b": {"z": {}, "y-z": {}}}, {}, "two combinations of levels have one name"),
        (WRITTEN, {"baseline": "plain"}, "baseline: 'plain' is no arm. Arms: plain-short, plain-long, good-short, good-long"),
    ],
)
def test_a_mistake_in_factors_is_told(tmp_path, factors, changes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        read(tmp_path, factors, **changes)


def test_effects_built_into_made_up_scores_come_out_again():
    """score = 1 + 0.5 a1 - 0.25 b1 + 0.125 (a1 and c1) + 2 (all three): effects by hand, averaging over the absent factors."""
    scores = {}
    for arm, levels in combined(FACTORS).items():
        a, b, c = (level[1] == "1" for level in levels)
        scores[arm] = np.full((3, 2), 1 + 0.5 * a - 0.25 * b + 0.125 * (a and c) + 2 * (a and b and c))
    found = {effect: contrasted(scores, weights)[0, 0] for effect, weights in contrasts(FACTORS).items()}
    assert found == pytest.approx(
        {
            "a=a1": 0.5 + 0.125 / 2 + 2 / 4,
            "b=b1": -0.25 + 2 / 4,
            "c=c1": 0.125 / 2 + 2 / 4,
            "a=a1:b=b1": 2 / 2,
            "a=a1:c=c1": 0.125 + 2 / 2,
            "b=b1:c=c1": 2 / 2,
            "a=a1:b=b1:c=c1": 2,
        }
    )


def test_effects_are_the_coefficients_of_a_regression_on_half_coded_factors():
    scores = dict(zip(combined(FACTORS), np.random.default_rng(0).normal(size=8), strict=True))
    columns = {
        name: [(levels[place][1] == "1") - 0.5 for levels in combined(FACTORS).values()] for place, name in enumerate("abc")
    }
    fitted = ols("y ~ a * b * c", {"y": list(scores.values()), **columns}).fit().params
    for effect, weights in contrasts(FACTORS).items():
        name = ":".join(part[0] for part in effect.split(":"))
        assert contrasted(scores, weights) == pytest.approx(fitted[name])


def test_with_three_levels_each_is_held_against_the_first():
    factors = {"a": ["x", "y", "z"], "b": ["p", "q"]}
    scores = {arm: float(place) ** 2 for place, arm in enumerate(combined(factors))}  # x: 0 1, y: 4 9, z: 16 25
    found = {effect: contrasted(scores, weights) for effect, weights in contrasts(factors).items()}
    wanted = {"a=y": 6, "a=z": 20, "b=q": 5, "a=y:b=q": 4, "a=z:b=q": 8}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(wanted)


def made(arms: dict[str, np.ndarray], without: str = "") -> dict:
    """The summary of a factorial sweep with these scores, tasks by seeds."""
    settings = {"about": "Made up.", "profile": "made", "seeds": [0, 1, 2], "baseline": "a0-b0-c0", "metrics": {"nll": "lower"}}
    factors = {factor: {level: {} for level in levels} for factor, levels in FACTORS.items()}
    sweep = Sweep.model_validate({**settings, "factors": factors, "arms": {arm: {} for arm in arms}})
    results = []
    for arm, values in arms.items():
        for seed in range(3):
            scores = {task: {"nll": values[row, seed]} for row, task in enumerate(TASKS)}
            if f"{arm}-s{seed}" != without:
                experiment = Experiment(f"made-{arm}-s{seed}", arm, seed, {})
                results.append(Result(experiment, {"tuned": scores, "base": scores}, 10, 5))
    return summarize("made", sweep, results, {}, {})


def noise() -> dict[str, np.ndarray]:
    return {arm: np.random.default_rng(place).normal(size=(6, 3)) for place, arm in enumerate(combined(FACTORS))}


def test_the_summary_holds_crossed_intervals_of_every_effect_corrected_for_all():
    scores = noise()
    found = made(scores)["effects"]["nll"]
    differences = {effect: contrasted(scores, weights) for effect, weights in contrasts(FACTORS).items()}
    corrected = holm({effect: crossed(values, 0.95).p_value for effect, values in differences.items()})
    assert list(found) == list(differences)
    for effect, values in differences.items():
        truth = crossed(values, 0.95)
        assert [found[effect][key] for key in ("low", "high", "smallest_effect")] == pytest.approx(
            [truth.low, truth.high, truth.smallest_effect], rel=1e-5
        )
        assert found[effect]["p_holm"] == pytest.approx(corrected[effect], rel=1e-5)


def test_effects_are_over_the_seeds_that_every_arm_has_and_stand_in_the_table():
    scores = noise()
    found = made(scores, without="a0-b1-c0-s1")
    main = contrasts(FACTORS)["a=a1"]
    wanted = contrasted({arm: values[:, [0, 2]] for arm, values in scores.items()}, main).mean()
    assert found["effects"]["nll"]["a=a1"]["mean"] == pytest.approx(wanted, rel=1e-5)
    assert found["effects"]["nll"]["a=a1"]["seeds"] == 2
    assert "| a=a1 x b=b1 x c=c1 |" in table(found)
    assert "Effects: against a a0, b b0, c c0" in table(found)


def test_effects_in_words():
    assert described("b=b1", FACTORS) == "b: b1 instead of b0"
    assert described("a=a1:b=b1", FACTORS) == "a × b: together, beyond their sum"
