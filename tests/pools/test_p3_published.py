"""Our rendering of P3 equals the published one, and what differs has a reason that is shown to be it (p3_comparison.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instune.pools.promptsource import PromptTemplate
from tests.pools import p3_comparison, p3_sources
from tests.pools.p3_comparison import compare, show, table
from tests.pools.p3_sources import DRAWN, NO_LABEL, PAIRS, RENDERED, REORDERED, SOURCES, Rendering, Source, templates_of

published = pytest.mark.skipif(not (PAIRS.is_dir() and RENDERED.is_dir()), reason=f"{PAIRS} or {RENDERED} is absent")
EXPECTED = {  # (raw row, reason) -> published rows, prompts equal as they are, targets equal as they are
    "ag_news": {("rebuilt", "equal"): (347, 347, 347), ("partly itself", "equal"): (3, 3, 3)},
    "glue__qqp": {("rebuilt", "equal"): (291, 291, 291), ("partly itself", "equal"): (9, 9, 9)},
    "imdb": {
        ("sample", "equal"): (20, 20, 20),
        ("rebuilt", "equal"): (527, 527, 527),
        ("partly itself", "equal"): (3, 3, 3),
    },
    "social_i_qa": {
        ("rebuilt", "equal"): (192, 192, 192),
        ("partly itself", "equal"): (82, 82, 82),
        ("rebuilt", DRAWN): (19, 0, 6),
        ("partly itself", DRAWN): (7, 0, 0),
    },
    "trec": {
        ("sample", NO_LABEL): (99, 99, 0),
        ("sample", REORDERED): (248, 0, 0),
        ("rebuilt", NO_LABEL): (1, 1, 1),
        ("rebuilt", REORDERED): (2, 0, 2),
    },
    "yelp_review_full": {
        ("sample", "equal"): (5, 5, 5),
        ("rebuilt", "equal"): (340, 340, 340),
        ("partly itself", "equal"): (5, 5, 5),
    },
}


@published
def test_every_published_row_is_ours_or_differs_for_a_known_reason():
    assert show() == EXPECTED


@published
def test_a_template_that_reads_otherwise_is_noticed(monkeypatch):
    changed = templates_of("imdb")
    name = "Movie_Expressed_Sentiment"
    edited = changed | {name: replace(changed[name], jinja=changed[name].jinja.replace("sentiment", "Sentiment"))}
    p3_comparison.patterns.cache_clear()
    monkeypatch.setattr(p3_sources, "templates_of", lambda _pair: edited)
    found = table(compare("imdb"))
    p3_comparison.patterns.cache_clear()
    assert found["rebuilt", "unexplained"][0] > 45
    assert sum(rows for (_, reason), (rows, _, _) in found.items() if reason == "equal") <= 500


def test_a_rendering_tells_the_row_that_led_to_it(monkeypatch):
    template = PromptTemplate("t", "{{text}} {{text}}? ||| {{ ['no', 'yes'][label] }} {{text}}", None, True, ())
    monkeypatch.setattr(p3_sources, "templates_of", lambda _pair: {"t": template})
    monkeypatch.setitem(SOURCES, "own", Source("", ("text",), ("text",), (0, 1)))
    rows = [Rendering("t", "a.b a.b?", "yes a.b"), Rendering("t", "a.b a.c?", "yes a.b")]
    assert [p3_comparison.rebuilt("own", row) for row in rows] == [[{"text": "a.b", "label": 1}], []]
