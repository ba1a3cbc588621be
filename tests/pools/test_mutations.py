"""Broken raw pools of every reader through the ingest stage: no traceback, no hang, nothing but the outputs is written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.pools.mutants import KINDS, odd_members
from tests.pools.small_pools import MAKERS, superni
from tests.pools.stage_runs import outcome, raw_pool

MUTANTS_PER_KIND = 3


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_a_broken_pool_is_refused_or_counted(tmp_path, monkeypatch, maker):
    refused, whole = 0, outcome(tmp_path / "whole", raw_pool(tmp_path / "whole", monkeypatch, maker), strict=True)
    assert isinstance(whole, int), whole
    for number, kind in enumerate(KINDS * MUTANTS_PER_KIND):
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
    assert refused >= len(KINDS)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_member_that_leads_out_of_its_archive_is_refused_or_counted(tmp_path, monkeypatch, kind):
    for number, archive in enumerate(odd_members(kind).values()):
        top = tmp_path / str(number)
        settings = raw_pool(top, monkeypatch, superni)
        (Path("data/raw/p") / f"clone.{kind}").write_bytes(archive)
        assert isinstance(outcome(top, settings, strict=True), str)
        assert isinstance(outcome(top, settings, strict=False), str)
