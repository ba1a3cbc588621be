"""Broken raw pools of every reader through the ingest stage: no traceback, no hang, nothing but the outputs is written."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from mutations import ALL_KINDS

from tests.pools.mutants import odd_members
from tests.pools.small_pools import MAKERS, superni
from tests.pools.stage_runs import outcome, raw_pool

MUTATIONS = int(os.environ.get("MUTATIONS", "18"))  # of each kind of pool
FIRST = int(os.environ.get("FIRST_MUTATION", "0"))


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_a_broken_pool_is_refused_or_counted(tmp_path, monkeypatch, maker):
    refused, whole = 0, outcome(tmp_path / "whole", raw_pool(tmp_path / "whole", monkeypatch, maker), strict=True)
    assert isinstance(whole, int), whole
    for number in range(FIRST, FIRST + MUTATIONS):
        kind = ALL_KINDS[number % len(ALL_KINDS)]
        draw, top = random.Random(f"{maker.__name__} {number}"), tmp_path / str(number)
        settings = raw_pool(top, monkeypatch, maker)
        paths = sorted(path for path in Path("data/raw/p").rglob("*") if path.is_file() and path.stat().st_size)
        kind(draw.choice(paths), draw)
        strict, lenient = outcome(top, settings, strict=True), outcome(top, settings, strict=False)
        if isinstance(strict, str):
            refused += 1
            assert isinstance(lenient, str) or lenient > whole
        else:
            assert lenient == strict
        shutil.rmtree(top)
    assert refused >= MUTATIONS // 3


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_member_that_leads_out_of_its_archive_is_refused_or_counted(tmp_path, monkeypatch, kind):
    for number, archive in enumerate(odd_members(kind).values()):
        top = tmp_path / str(number)
        settings = raw_pool(top, monkeypatch, superni)
        (Path("data/raw/p") / f"clone.{kind}").write_bytes(archive)
        assert isinstance(outcome(top, settings, strict=True), str)
        assert isinstance(outcome(top, settings, strict=False), str)
