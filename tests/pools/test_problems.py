"""Values in messages."""

from __future__ import annotations

import json

import pytest

from instune.pools.fields import parse_json
from instune.shown import SHOWN_CHARACTERS, shown


def laughs() -> list:
    """Ten to the thirtieth strings, of which each level holds the one before ten times."""
    value = ["x"]
    for _ in range(30):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    "value",
    ["x" * 10**7, "\ud800\n", {"a": ["x" * 10**7]}, ["\u4f60"] * 10**6, laughs(), parse_json(b"[" * 900 + b"]" * 900), 2**99_999],
    ids=["long", "half", "inside", "many", "shared", "deep", "number"],
)
def test_any_value_is_shown_in_one_short_ascii_line(value):
    text = shown(value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= SHOWN_CHARACTERS + 3


def test_small_values_are_shown_as_they_are():
    for value in (None, 1.5, "a", ["a", 3], {"a": [], "b": {}}, ("x",)):
        assert shown(value) == repr(value)
    assert shown(json.loads('{"b": 1, "\\u4f60": "\\u00e9"}')) == r"{'b': 1, '\u4f60': '\xe9'}"
