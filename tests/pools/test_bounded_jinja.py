"""Templates that would run for hours or fill the memory."""

from __future__ import annotations

import time

import pytest

from instune.pools import promptsource
from instune.pools.problems import BadRecord

LAUGHS = "{% set x = ['ha', 'ha'] %}" + "{% set x = [x, x] %}" * 60
TEN = "{% set x = 'aaaaaaaaaa' %}"
ENDLESS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in text %}" * 9 + "{% endfor %}" * 9,
    "{% for i in range(99999) %}" + "y" * 100_000 + "{% endfor %}",
    "{{ 'a' * 3000000000 }}",
    "{{ 3000000000 * [text] }}",
    "{{ 10 ** (10 ** 8) }}",
    "{{ 1.5 | round(1000000000, 'floor') }}",
    "{{ (range(99999) | list) * 99999 }}",
    "{{ '%3000000000d' | format(1) }}",
    "{{ '%*d' | format(3000000000, 1) }}",
    "{{ 'a' | center(3000000000) }}",
    "{{ ['a'] | map('center', 3000000000) | join }}",
    "{{ [1] | batch(3000000000, 'x') | list }}",
    "{{ 'a'.ljust(3000000000) }}",
    TEN + "{% set x = x ~ x %}" * 40,
    TEN + "{% set x = x + x %}" * 40,
    TEN + "{% set x = [x, x] | join %}" * 40,
    TEN + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "{{ text" + " | replace('a', text)" * 12 + " }}",
    "{{ text" + ".replace('a', text)" * 12 + " }}",
    LAUGHS + "{{ x }}",
    LAUGHS + "{{ x | string | length }}",
    LAUGHS + LAUGHS.replace("x", "y") + "{{ x == y }}",
    "{% set x = ('ha', 'ha') %}" + "{% set x = (x, x) %}" * 60 + "{{ {x: 1} | length }}",
    "{% set x = {'a': 'ha'} %}" + "{% set x = {'a': x, 'b': x} %}" * 60 + "{{ x }}",
    "{% for i in range(9) %}{{ (text * 30000) | urlize | length }}{% endfor %}",
]
REFUSED = [
    ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "Macro is not allowed"),
    ("{% for a in text recursive %}{{ loop(text) }}{% endfor %}", "a recursive loop is not allowed"),
    ("{{ ('\\t' * 10000).expandtabs(10000000) }}", "str.expandtabs is not allowed"),
    ("{{ ('a' * 10000).translate({97: 'b' * 10000000}) }}", "str.translate is not allowed"),
    ("{{ ([[1] * 1000] * 1000) | sum(start=[]) | length }}", "a sum of anything but numbers is not allowed"),
    ("{{ '%3000000000d' % 1 }}", "use the filter format"),
    ("{{ '{:3000000000}'.format(1) }}", "use the filter format"),
]


def apply(jinja, **row):
    template = promptsource.PromptTemplate("t", jinja + " ||| x", None, True, ())
    return promptsource.apply(template, {"text": "aaaaaaaaaaaaaaaaaaaaaaaaa"} | row)[0]


@pytest.mark.parametrize(
    ("jinja", "message"), [*((jinja, "too much work") for jinja in ENDLESS), *REFUSED], ids=lambda value: value[:30]
)
def test_a_template_that_runs_away_is_refused_at_once(jinja, message):
    started = time.perf_counter()
    with pytest.raises(BadRecord, match="template 't': ") as error:
        apply(jinja)
    assert message in error.value.reason
    assert time.perf_counter() - started < 2


def test_each_row_has_its_own_work():
    for _ in range(5):
        assert apply("{% for i in range(9000) %}{% endfor %}done") == "done"


def test_long_texts_and_ordinary_templates_are_rendered():
    long = "word " * 400_000
    made = apply("{{ text | trim | replace('word', 'thing') }} {{ text.split(' ') | length }}", text=long)
    assert made == long.strip().replace("word", "thing") + " 400001"
    jinja = (
        "{% for a in x if a > 1 %}{{ loop.index }}/{{ loop.length }} {{ '%02d' | format(a * 2) }},{{ loop.last }} {% endfor %}"
    )
    assert apply("{{ [text, [1, text]] }} {{ [1, 2] | sum }} {{ x | sum(attribute='a') }}", text="t", x=[{"a": 3}]) == (
        "['t', [1, 't']] 3 3"
    )
    assert apply(jinja, x=[1, 2, 3]) == "1/2 04,False 2/2 06,True"
    assert apply("{% for key in x %}{{ key ~ 1 }}{% endfor %}{% for a in missing %}{% endfor %}", x={"a": 1, "b": 2}) == "a1b1"
