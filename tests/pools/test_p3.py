"""promptsource rendering, against renderings made by hand and against the published P3 rows."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import p3, p3_rendered, promptsource
from instune.pools.problems import BadRecord, Problems

PAIRS = Path("../shared/data/p3_pairs")
RENDERED = Path("../shared/data/p3_rendered_t0")
published = pytest.mark.skipif(not (PAIRS.is_dir() and RENDERED.is_dir()), reason=f"{PAIRS} or {RENDERED} is absent")

YAML = """
dataset: super_glue
subset: copa
templates:
  b: !Template
    answer_choices: '{{choice1}} ||| {{choice2}}'
    jinja: "{{ premise }} {% if question == 'cause' %}because{% else %}so{% endif %}? ||| {% if label != -1 %}{{answer_choices[label]}}{% endif %}"
    metadata: !TemplateMetadata {original_task: true, metrics: [Accuracy]}
    name: exercise
  a: !Template
    answer_choices: null
    jinja: 'Write the {{"premise"}} of {{ choice1 | upper }}: ||| {{ premise }}'
    metadata: !TemplateMetadata {original_task: false, metrics: [BLEU, ROUGE]}
    name: "\\u2026another"
"""  # noqa: E501
ROW = {"premise": "It rained. ", "choice1": "wet", "choice2": "dry", "question": "cause", "label": 0}


def template(jinja, choices=None):
    return promptsource.PromptTemplate("t", jinja, choices, True, ())


def read(folder, *, strict=True, limit=100, templates="all", held_out=()):
    problems = Problems(folder, strict=strict)
    settings = {"examples_per_task": limit, "templates": templates, "held_out": list(held_out)}
    return list(p3.read(folder, pool="p3", problems=problems, **settings)), problems


def write(folder, *rows, yaml=YAML):
    (folder / "copa").mkdir()
    (folder / "copa/templates.yaml").write_text(yaml)
    (folder / "copa/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_prompt_target_and_choices_are_rendered_and_stripped():
    _, [exercise, _] = promptsource.parse_templates(YAML.encode())
    assert promptsource.apply(exercise, ROW) == ("It rained.  because?", "wet", ("wet", "dry"))


def test_a_separator_inside_the_data_is_not_split_at():
    made = template("{{x}} ||| {{y}}", "{{x}} ||| {{y}}")
    assert promptsource.apply(made, {"x": "a ||| b", "y": "c|||d"}) == ("a ||| b", "c|||d", ("a ||| b", "c|||d"))


def test_a_target_that_is_no_choice_leaves_no_choices():
    assert promptsource.apply(template("q ||| {{x}}", "a ||| b"), {"x": "c"})[2] is None


@pytest.mark.parametrize(
    ("jinja", "reason"),
    [
        ("no separator", "no output"),
        ("q ||| {% if false %}x{% endif %}", "no output"),
        ("q ||| {{ missing.field }}", "fails on the row"),
        ("q ||| {{ x[7] + 1 }}", "fails on the row"),
        ("q ||| {{ x / 0 }}", "fails on the row"),
        ("q {% if %} ||| x", "fails on the row"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }} ||| x", "fails on the row"),
        ("{{ x.append(3) }} ||| x", "fails on the row"),
        ("{% for i in range(10 ** 9) %}{% endfor %} ||| x", "too much work"),
    ],
)
def test_a_template_that_does_not_apply_is_refused_by_name(jinja, reason):
    with pytest.raises(BadRecord, match=rf"template 't': {reason}"):
        promptsource.apply(template(jinja), {"x": [1]})


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(BadRecord, match="half of a surrogate pair"):
        promptsource.apply(template("{{x}} ||| b"), {"x": "\ud800"})


def test_a_draw_depends_on_the_row_alone():
    made = template("q ||| {{ ['a', 'b'] | choice }}")
    drawn = [promptsource.apply(made, {"x": str(number)})[1] for number in range(40)]
    assert set(drawn) == {"a", "b"}
    assert "".join(drawn[:20]) == "bababababaababababab"  # in every process


@pytest.mark.parametrize(
    ("jinja", "words"),
    [
        ("{{ premise }} so? ||| x", "text so?"),
        ("{% if a == 1 %}Cause{% else %}Effect{% endif %}:\n{{ text_a|trim }} ||| x", "Cause Effect : text"),
        ("One of {{ ', '.join(answer_choices) }} or {{'none'}}? ||| x", "One of text or none?"),
        ("{# note #}{{choices['text'][0]}} ||| x", "text"),
    ],
)
def test_a_wording_is_the_template_with_one_word_for_all_variables(jinja, words):
    assert promptsource.wording(template(jinja)) == words


def test_a_dataset_is_a_task_and_its_templates_are_wordings(tmp_path):
    [(task, examples)], problems = read(write(tmp_path, ROW, ROW | {"label": -1}))
    assert (task.task_id, task.metric, task.split) == ("p3:super_glue:copa", "rouge_l", "train")
    assert task.wordings == ("text because so ?", "Write the premise of text:")
    assert [(e.wording_index, e.input, e.references) for e in examples] == [
        (0, "It rained.  because?", ("wet",)),
        (1, "Write the premise of WET:", ("It rained.",)),
        (1, "Write the premise of WET:", ("It rained.",)),
    ]
    assert [(m.role, m.content) for m in examples[0].messages] == [("user", "It rained.  because?"), ("assistant", "wet")]
    assert problems.counts == {"p3:super_glue:copa: template 'exercise': no output for the row": 1}


def test_a_held_out_dataset_is_asked_its_original_task_only(tmp_path):
    [(task, examples)], _ = read(write(tmp_path, ROW), held_out=["super_glue/copa"])
    assert (task.split, task.metric, task.wordings, len(examples)) == ("test", "choice", ("text because so ?",), 1)


def test_one_template_per_row_is_drawn_by_its_place(tmp_path):
    folder = write(tmp_path, *[ROW] * 30)
    [(_, examples)], _ = read(folder, templates="one_per_row", limit=20)
    assert (len(examples), {example.wording_index for example in examples}) == (20, {0, 1})
    assert read(folder, templates="one_per_row", limit=20)[0][0][1] == examples


def test_a_held_out_name_that_no_dataset_has_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"pools\.p3\.held_out: 'super_glue/cop' is no dataset of the pool\. Near: super_glue/copa"
    ):
        read(write(tmp_path, ROW), held_out=["super_glue/copa", "super_glue/cop"])
    (tmp_path / "rendered").mkdir()
    (tmp_path / "rendered/t.jsonl").write_text('{"dataset": "ag_news", "template": "t", "prompt": "x", "completion": "y"}\n')
    problems = Problems(tmp_path, strict=False)
    with pytest.raises(InputError, match=r"pools\.p\.held_out: 'agnews' is no dataset of the pool\. Near: ag_news"):
        list(p3_rendered.read(tmp_path / "rendered", pool="p", problems=problems, examples_per_template=1, held_out=["agnews"]))


def test_csv_is_refused_since_its_numbers_are_text(tmp_path):
    write(tmp_path, ROW)
    (tmp_path / "copa/more.CSV").write_text("premise,choice1,choice2,question,label\nx,a,b,cause,1\n")
    with pytest.raises(InputError, match=r"copa/more\.CSV: CSV: its cells are text.*bring JSONL or Parquet"):
        read(tmp_path)
    [(_, examples)], problems = read(tmp_path, strict=False)
    assert (len(examples), sum(problems.counts.values())) == (2, 1)


@pytest.mark.parametrize(
    "yaml",
    [
        "a: [",
        "templates: 3",
        "templates: {a: 3}",
        "dataset: x\ntemplates: {a: {name: b}}",
        "templates: {a: {name: b, jinja: c, metadata: [1]}}",
        "!!python/x y",
        "dataset: 2001-99-99\ntemplates: {}",
        "dataset: " + "9" * 5000,
        "dataset: x\ntemplates: {a: {name: 0x" + "f" * 5000 + ", jinja: c}}",
        "dataset: x\ntemplates: {a: !Template 3}",
        "[" * 5000,
    ],
)
def test_broken_templates_stop_or_are_counted(tmp_path, yaml):
    write(tmp_path, ROW, yaml=yaml)
    with pytest.raises(InputError, match=r"copa/templates\.yaml"):
        read(tmp_path)
    pairs, problems = read(tmp_path, strict=False)
    assert (pairs, sum(problems.counts.values())) == ([], 1)


def published_rows(name):
    with gzip.open(RENDERED / f"{name}.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    by_template = defaultdict(set)
    for row in rows:
        by_template[row["template"]].add((row["prompt"].strip(), row["completion"].strip()))
    return by_template


def published_name(found):
    return re.sub(r"[?/]", "", found.name).replace(" ", "_")


def rebuilt(found, prompt, target):
    """The raw row behind a published rendering of a template without branches, or None."""
    body = found.jinja.partition("|||")[0].strip()
    pieces = [re.fullmatch(r"\{\{\s*(\w+)\s*\}\}", piece) or piece for piece in re.split(r"(\{\{.*?\}\})", body)]
    names = [piece[1] for piece in pieces if isinstance(piece, re.Match)]
    if "{%" in body or len(set(names)) < len(names):
        return None
    pattern = "".join(
        f"(?P<{piece[1]}>.*?)" if isinstance(piece, re.Match) else ".*?" if piece.startswith("{{") else re.escape(piece)
        for piece in pieces
    )
    row = re.fullmatch(pattern, prompt, re.DOTALL).groupdict()
    return next(
        (row | {"label": label} for label in range(5) if promptsource.apply(found, row | {"label": label})[1] == target), None
    )


@published
@pytest.mark.parametrize("pair", ["ag_news", "glue__qqp", "imdb", "yelp_review_full"])
def test_rows_rebuilt_from_one_template_render_like_every_other(pair):
    fields = {"ag_news": {"text"}, "glue__qqp": {"question1", "question2"}}.get(pair, {"text"})
    _, found = promptsource.parse_templates((PAIRS / pair / "templates.yaml").read_bytes())
    rows = published_rows(pair.replace("__", "_"))
    made = [rebuilt(one, *row) for one in found for row in sorted(rows[published_name(one)])]
    equal = different = 0
    for row in {json.dumps(row, sort_keys=True) for row in made if row and row.keys() >= fields}:
        for other in found:
            prompt, target, _ = promptsource.apply(other, json.loads(row))
            start = json.loads(row)[min(fields)][:60]
            near = [one for one in rows[published_name(other)] if start in one[0]]
            equal += (prompt, target) in near
            different += bool(near) and (prompt, target) not in near
    assert equal > 200
    assert different <= 0.03 * equal  # a row's blanks at its ends, or another row with the same start


@published
@pytest.mark.parametrize(("pair", "shared"), [("imdb", 20), ("yelp_review_full", 5)])
def test_shared_raw_rows_render_to_the_published_rows(pair, shared):
    [(_, examples)], _ = read_pair(pair)
    rows = set().union(*published_rows(pair).values())
    prompts = {prompt for prompt, _ in rows}
    known = [example for example in examples if example.input in prompts]
    assert len(known) == shared
    assert all((example.input, example.references[0]) in rows for example in known)


def read_pair(pair):
    problems = Problems(PAIRS, strict=True)
    settings = {"examples_per_task": 10**6, "templates": "all", "held_out": []}
    return list(p3.read(PAIRS / pair, pool="p3", problems=problems, **settings)), problems


@published
def test_the_rendered_pool_is_read_whole():
    problems = Problems(RENDERED, strict=True)
    pairs = list(p3_rendered.read(RENDERED, pool="p3", problems=problems, examples_per_template=50, held_out=["ag_news"]))
    assert (len(pairs), sum(len(task.wordings) for task, _ in pairs)) == (37, 283)  # datasets and templates of the files
    assert sum(len(examples) for _, examples in pairs) == 13_898
    assert [task.category for task, _ in pairs if task.split == "test"] == ["ag_news"]
    texts = {(e.messages[0].content, e.references[0]) for task, examples in pairs if task.category == "trec" for e in examples}
    with gzip.open(RENDERED / "trec.jsonl.gz") as file:
        assert texts == {(row["prompt"], row["completion"]) for row in map(json.loads, file)}


def test_rendered_rows_are_gathered_by_dataset_and_template(tmp_path):
    rows = [
        {
            "dataset": "a/b",
            "template": "is_it",
            "inputs_pretokenized": " x\n",
            "targets_pretokenized": "yes",
            "answer_choices": ["yes", "no"],
        },
        {"dataset": "c", "template": "t", "input": "x", "target": "y"},
        {"dataset": "a/b", "template": "is_it", "input": "second", "target": "no", "choices": ["no"]},
        {"dataset": "a/b", "template": "why", "prompt": "x", "completion": "no", "choices": ["yes"]},
        {"dataset": "a/b", "template": "why", "completion": "no"},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = Problems(tmp_path, strict=False)
    pairs = list(p3_rendered.read(tmp_path, pool="p", problems=problems, examples_per_template=1, held_out=[]))
    (task, examples), _ = pairs
    assert (task.task_id, task.wordings, task.metric) == ("p:a:b", ("is it",), "choice")
    assert [(e.input, e.references, e.choices) for e in examples] == [(" x\n", ("yes",), ("yes", "no"))]
    assert problems.counts == {
        "choices: the target is not among them": 1,
        "prompt or input or inputs_pretokenized: missing": 1,
    }
