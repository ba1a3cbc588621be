"""A hostile chat template ends soon, with the reason; what the sandbox refuses stays refused; real templates do as before."""

from __future__ import annotations

import copy
import time

import pytest

from instune.chat import chat_text, find_chat, load_chat
from instune.conversations import Unshowable
from instune.errors import InputError
from instune.records import Message
from instune.scratch_model import CHATML
from tools.lint_templates.families import families

SAID = (Message("user", "Which one, B or c?"), Message("assistant", "It is c."))
LONG = tuple(Message("user" if turn % 2 == 0 else "assistant", "word " * 2000) for turn in range(200))
LAUGHS = "{% set x = ['ha', 'ha'] %}" + "{% set x = [x, x] %}" * 60
RUN_AWAY = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n - 1) if n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{{ 'a' * 100000000000 }}",
    "{{ '%100000000000d' % 1 }}",
    "{{ ('%(a)s' * 10000) % {'a': 'b' * 1000000} }}",
    "{{ '{:100000000000}'.format(1) }}",
    "{{ 'a'.ljust(100000000000) }}",
    "{{ [[[1]]] | tojson(indent=10000000000) }}",
    "{{ ('a\\n' * 100000) | indent(1000000) }}",
    LAUGHS + "{{ x }}",
    LAUGHS + "{{ x | tojson }}",
    "{% set n = namespace(x='aaaaaaaaaa') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=['a']) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n = namespace(x=[n, n]) %}{{ n.x }}{% endfor %}",
    "{% if messages[0].content == 'Which one, B or c?' %}{% for i in range(99999) %}{{ messages }}{% endfor %}{% endif %}",
]
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ raise_exception.__globals__ }}",
    "{{ namespace.__init__.__globals__['os'].system('true') }}",
    "{{ messages.append(1) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{% include 'config.json' %}",
    "{% import 'os' as os %}",
]


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template + CHATML
    return changed


@pytest.mark.parametrize("template", RUN_AWAY, ids=range(len(RUN_AWAY)))
def test_a_template_that_runs_away_is_refused_at_once_and_the_way_out_named(tokenizer, template):
    hostile, started = with_template(tokenizer, template), time.perf_counter()
    with pytest.raises(InputError, match=r"more than is allowed[\s\S]*prompt\.template: plain"):
        load_chat(hostile)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_that_reaches_for_the_machine_shows_nothing(tokenizer, template):
    try:
        text = chat_text(with_template(tokenizer, template), SAID)
    except Unshowable:
        text = None
    assert text in (None, chat_text(tokenizer, SAID))


def test_work_is_counted_for_every_conversation_and_not_only_for_the_first(tokenizer):
    later = "{% if 'secret' in messages[0].content %}{% for i in range(99999) %}" + "y" * 99_999 + "{% endfor %}{% endif %}"
    conversation = find_chat(with_template(tokenizer, later)).conversation
    assert len(conversation(SAID)) == 3
    with pytest.raises(Unshowable, match="too much work"):
        conversation((Message("user", "the secret"), SAID[1]))


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_no_known_family_is_refused_for_its_work_on_two_hundred_long_messages(family):
    tokenizer = family.tokenizer()
    text = chat_text(tokenizer, LONG)
    said = [vars(message) for message in LONG]
    assert text is None or text == tokenizer.apply_chat_template(said, tokenize=False)


def test_what_large_templates_use_is_rendered_as_transformers_does(tokenizer):
    used = (
        "{% macro show(x, depth=2) -%}{{ x | tojson(indent=2) | indent(depth) }}{%- endmacro %}"
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}"
        "{% set ns.n = ns.n + 1 %}{{ show({'role': m.role, 'tools': [1, 2]}) }}{{ '%s-%02d' % (m.role, ns.n) }}"
        "{{ '{}!'.format(ns.n) }}{% endfor %}{{ strftime_now('%Y') | length }}{{ messages[::-1][0]['role'].split('s') }}"
        "{{ dict(a=1) | items | list }}{% generation %}x{% endgeneration %}"
    )
    changed = with_template(tokenizer, used)
    assert chat_text(changed, SAID) == changed.apply_chat_template([vars(message) for message in SAID], tokenize=False)
