"""Which mutants of a module the campaign makes."""

from __future__ import annotations

import pytest

pytest.importorskip("mutmut")  # of requirements-bench.txt

from tests.campaigns.mutant_sources import mutants_of

SOURCE = '''"""About 1."""

from __future__ import annotations

from functools import lru_cache

Names = dict[str, int]
LIMIT = 3


@lru_cache(maxsize=4)
def f(x: int = 2) -> str:
    """About 2."""
    if x > LIMIT:
        raise ValueError("more than 5")
    return zip(x, x, strict=True)
'''
CHANGES = {
    "LIMIT = 3 -> LIMIT = None",
    "3 -> 4",
    "2 -> 3",
    "x > LIMIT -> x >= LIMIT",
    "> LIMIT -> >= LIMIT",
    'ValueError("more than 5") -> ValueError(None)',
    "zip(x, x, strict=True) -> zip(None, x, strict=True)",
    "zip(x, x, strict=True) -> zip(x, None, strict=True)",
    "zip(x, x, strict=True) -> zip(x, strict=True)",
}


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_texts_types_decorators_and_strict_stay_and_no_program_comes_twice(module):
    mutants = mutants_of(module, module.parent, 100, 0)
    assert {mutant.change for mutant in mutants} <= CHANGES
    assert len(mutants) == len({mutant.key for mutant in mutants}) == 8
    for mutant in mutants:
        before, after = SOURCE.splitlines(), mutant.source.splitlines()
        assert [number for number, pair in enumerate(zip(before, after, strict=True), 1) if pair[0] != pair[1]] == [mutant.line]


def test_a_smaller_draw_is_a_part_of_a_larger_one_of_the_same_seed(module):
    keys = {count: {mutant.key for mutant in mutants_of(module, module.parent, count, 0)} for count in (3, 5)}
    assert len(keys[3]) == 3
    assert keys[3] < keys[5]
