"""A sweep's file: the experiments that it makes, and what it refuses, in words that show the way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sweep_repository import PARAMS, write_sweep, write_yaml

from instune.errors import InputError
from tools.sweep.plan import changed, experiments_of, read_sweep

ROOT = Path(__file__).parents[2]
TUNE = {
    "key": "select.method",
    "values": ["good", "plain"],
    "stage": "train",
    "report": "reports/finetune.json",
    "measure": "loss",
}


def made(folder: Path, arms: dict, **changes: object) -> list:
    """The experiments of a sweep called one."""
    write_yaml(folder / "profiles/made.yaml", PARAMS)
    write_sweep(folder, "one", arms, **changes)
    return experiments_of("one", read_sweep(folder / "sweeps/one.yaml"), folder, {})


def test_every_seed_has_every_arm_with_the_profiles_parameters_and_its_own(tmp_path):
    found = made(tmp_path, {"plain": {}, "good_one": {"select.method": "good", "finetune": {"epochs": 9}}}, seeds=[3, 1])
    assert [one.name for one in found] == ["one-plain-s3", "one-good_one-s3", "one-plain-s1", "one-good_one-s1"]
    assert found[2].params == {"seed": 1, "select": {"method": "plain"}, "finetune": {"epochs": 2}}
    assert found[1].params == {"seed": 3, "select": {"method": "good"}, "finetune": {"epochs": 9}}


def test_what_all_arms_share_is_said_once_and_an_arm_may_say_otherwise(tmp_path):
    arms = {"plain": {}, "good": {"finetune.epochs": 1}}
    found = made(tmp_path, arms, over={"finetune.epochs": 7, "select": {"method": "last"}})
    assert [one.params["finetune"]["epochs"] for one in found] == [7, 1]
    assert found[1].params["select"] == {"method": "last"}


def test_a_mapping_is_replaced_as_a_whole_and_the_profile_stays_as_it_is():
    params = {"a": {"b": {"c": 1, "d": 2}}}
    assert changed(params, {"a.b": {"c": 5}}) == {"a": {"b": {"c": 5}}}
    assert changed(params, {"a.b.c": 5}) == {"a": {"b": {"c": 5, "d": 2}}}
    assert params == {"a": {"b": {"c": 1, "d": 2}}}


@pytest.mark.parametrize(
    ("arms", "changes", "said"),
    [
        ({"plain": {"select.methd": "good"}}, {}, "arms.plain: select.methd: there is no 'methd' in select. Keys there: method"),
        ({"plain": {"selct.method": "good"}}, {}, "there is no 'selct' in the parameters. Keys there: seed, select, finetune"),
        ({"plain": {"seed.x": 1}}, {}, "there is no 'x' in seed. Keys there: none"),
        ({"plain": {"seed": 1}}, {}, "arms.plain: seed: is set by the sweep's `seeds`"),
        ({"good": {}}, {}, "baseline: 'plain' is no arm. Arms: good"),
        ({"plain": {}}, {"seeds": [1, 1]}, "seeds: [1, 1] has a seed twice"),
        ({"plain": {}}, {"seeds": []}, "seeds: '[]' is not allowed"),
        ({"plain": {}}, {"seeds": ["0"]}, "seeds.0: '0' is not allowed"),
        ({"plain": {}, "a b": {}}, {}, "arms.a b.[key]: 'a b' is not allowed"),
        ({"plain": {}}, {"metrics": {"nll": "less"}}, "metrics.nll: 'less' is not allowed"),
        ({"plain": {}}, {"basline": "x"}, "basline: 'x' is not allowed"),
        ({"plain": {}}, {"tune": [TUNE | {"key": "select.rat"}]}, "tune.0.key: select.rat: there is no 'rat' in select"),
        ({"plain": {}}, {"tune": [TUNE | {"arms": ["good"]}]}, "tune.0.arms: good is no arm. Arms: plain"),
        ({"plain": {}}, {"tune": [TUNE | {"values": [1]}]}, "tune.0.values: '[1]' is not allowed"),
        ({"plain": {}}, {"over": {"selct.method": 1}}, "over: selct.method: there is no 'selct' in the parameters"),
        ({"plain": {}}, {"over": {"seed": 1}}, "arms.plain: seed: is set by the sweep's `seeds`"),
        ({"plain": {}}, {"profile": "other"}, "profile: 'other' is no file of profiles/. There are: made"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_what_is_allowed(tmp_path, arms, changes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        made(tmp_path, arms, **changes)


def test_a_sweep_that_is_not_there_is_told_with_those_that_are(tmp_path):
    made(tmp_path, {"plain": {}})
    with pytest.raises(InputError, match=r"two.yaml: not found. Sweeps that are there: one\."):
        read_sweep(tmp_path / "sweeps/two.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_committed_sweeps_fit_their_profiles(path):
    sweep = read_sweep(path)
    assert len(experiments_of(path.stem, sweep, ROOT, {})) == len(sweep.arms) * len(sweep.seeds)
