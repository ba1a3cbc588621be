"""The scratch bed: parameters, cache and working folder are put back as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from instune.config import read_params
from tools import bed


def test_changed_replaces_keys_of_sections_and_plain_values():
    params = {"seed": 0, "select": {"method": "random", "top_k": 5}, "embed": {"inputs": 0}}
    new = bed.changed(params, {"seed": 3, "select": {"method": "all"}})
    assert new == {"seed": 3, "select": {"method": "all", "top_k": 5}, "embed": {"inputs": 0}}
    assert params["select"]["method"] == "random"


def test_written_parameters_are_read_back(tmp_path):
    params = read_params(Path(__file__).parents[2] / "params.yaml")
    bed.write_params(tmp_path / "new", params)
    assert read_params(tmp_path / "new/params.yaml") == params


def test_the_users_cache_is_put_back(monkeypatch, tmp_path):
    for before in ("/elsewhere", None):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if before:
            monkeypatch.setenv("XDG_CACHE_HOME", before)
        with bed.embedding_cache(tmp_path):
            assert os.environ["XDG_CACHE_HOME"] == str(tmp_path)
        assert os.environ.get("XDG_CACHE_HOME") == before


def test_a_stage_runs_in_its_folder_and_a_refusal_ends_the_command(tmp_path, capsys):
    here = Path.cwd()
    bed.write_params(tmp_path, {"playground": {"seed": 1, "instances_per_task": 3}})
    time = bed.run_stage(tmp_path, "playground", "--out", "raw")
    assert time.clock > 0
    assert time.cpu > 0
    assert (tmp_path / "raw/known_answers.json").exists()
    bed.write_params(tmp_path, {"playground": {"seed": "one", "instances_per_task": 3}})
    with pytest.raises(SystemExit, match=r"playground\.seed"):
        bed.run_stage(tmp_path, "playground", "--out", "raw")
    assert Path.cwd() == here
    assert capsys.readouterr().out == ""
