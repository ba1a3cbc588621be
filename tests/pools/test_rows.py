"""Tables: the text of every form, through every reader of tables."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instune.errors import InputError
from instune.pools import chat, p3, p3_rendered, plain
from instune.pools.files import walk
from instune.pools.problems import Problems
from instune.pools.rows import TABLES, read_rows, table_name

WORDS = ["None", "NA", "null", "nan", "", "007", "1e5", "TRUE", " a ", "x\r\ny", "x\ny\rz", "\u4f60\u597d", "e\u0301", "\u0000",
         "\U0001f44d\U0001f3fd", "\u202eabc", "\ufeff", '"', "a,b;c\t", "\\n", "{{x}} ||| {% y %}"]  # fmt: skip
PIN = {"dataset": "a/b", "subset": None, "split": "train", "revision": "0" * 40}
FORMS = ["jsonl", "jsonl.gz", "json", "json.gz", "csv", "csv.gz", "parquet", "hub.json"]


def write(folder: Path, form: str, rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows in a table of that form; the Hub's answer is replaced."""
    kind = form.removesuffix(".gz")
    if kind == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
        data = text.getvalue().encode()
    elif kind == "parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), buffer)
        data = buffer.getvalue()
    elif kind == "hub.json":
        monkeypatch.setattr(datasets, "load_dataset", lambda *_args, **_keywords: datasets.Dataset.from_list(rows))
        data = json.dumps(PIN).encode()
    else:
        data = (json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows))).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"t.{form}").write_bytes(gzip.compress(data) if form.endswith(".gz") else data)


def rows_of(folder: Path, problems: Problems) -> list[dict]:
    return [row for name, file in walk(folder, rf"[^/]+{TABLES}", problems) for _, row in read_rows(file, name, problems)]


@pytest.mark.parametrize("form", FORMS)
def test_text_is_the_same_in_every_form_and_reader(tmp_path, monkeypatch, form):
    problems = Problems(tmp_path, strict=True)
    common = {"task": "t", "instruction": "i", "dataset": "d", "template": "n"}
    write(tmp_path, form, [common | {"input": word, "output": word, "choices": ""} for word in WORDS], monkeypatch)
    [(_, found)] = plain.read(tmp_path, pool="p", problems=problems)
    assert [(example.input, example.references) for example in found] == [(word, (word,)) for word in WORDS]
    write(tmp_path / "chat", form, [{"prompt": word, "completion": word} for word in WORDS], monkeypatch)
    [(_, found)] = chat.read(tmp_path / "chat", pool="p", problems=problems)
    assert [(example.input, example.references) for example in found] == [(word, (word,)) for word in WORDS]
    rows = [{"dataset": "d", "template": "n", "inputs_pretokenized": word, "targets_pretokenized": word} for word in WORDS]
    write(tmp_path / "rendered", form, rows, monkeypatch)
    settings = {"examples_per_template": 99, "held_out": []}
    [(_, found)] = p3_rendered.read(tmp_path / "rendered", pool="p", problems=problems, **settings)
    assert [(example.input, example.references) for example in found] == [(word, (word,)) for word in WORDS]
    if form.startswith("csv"):
        return  # which p3 refuses
    write(tmp_path / "p3", form, [{"x": word} for word in WORDS], monkeypatch)
    template = "dataset: d\ntemplates: {i: {name: n, jinja: '[{{x}}] ||| [{{x}}]', metadata: {original_task: true}}}\n"
    (tmp_path / "p3/templates.yaml").write_text(template)
    settings = {"examples_per_task": 99, "templates": "all", "held_out": []}
    [(_, found)] = p3.read(tmp_path / "p3", pool="p", problems=problems, **settings)
    assert [(example.input, example.references) for example in found] == [(f"[{word}]", (f"[{word}]",)) for word in WORDS]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lima_messages.jsonl.gz", "lima_messages"),
        ("a/b/train.CSV.GZ", "a:b:train"),
        ("lima.hub.json", "lima"),
        ("v1.2.parquet", "v1.2"),
        ("x.json.json", "x.json"),
    ],
)
def test_a_table_is_named_by_its_place(path, name):
    assert table_name(path) == name


def test_a_table_without_rows_is_counted(tmp_path):
    (tmp_path / "a.csv").write_text("task,input\n")
    (tmp_path / "b.jsonl").write_text("")
    (tmp_path / "c.jsonl").write_text("{broken")
    (tmp_path / "D.JSON").write_text('[{"x": 1}]')
    problems = Problems(tmp_path, strict=False)
    assert rows_of(tmp_path, problems) == [{"x": 1}]
    assert problems.counts == {"table without rows": 2, "not valid JSON": 1}


def test_a_pin_names_what_the_hub_is_asked_for_and_adds_its_columns(tmp_path, monkeypatch):
    asked = []

    def load_dataset(*args, **keywords):
        asked.append((args, keywords))
        return datasets.Dataset.from_list([{"inputs_pretokenized": " q\n", "targets_pretokenized": "a", "is_correct": True}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    columns = {"dataset": "ag_news", "template": "which_section"}
    (tmp_path / "x.hub.json").write_text(json.dumps(PIN | {"subset": "ag_news_which_section", "columns": columns}))
    problems = Problems(tmp_path, strict=True)
    [(task, [example])] = p3_rendered.read(tmp_path, pool="p", problems=problems, examples_per_template=5, held_out=[])
    assert asked == [(("a/b", "ag_news_which_section"), {"split": "train", "revision": "0" * 40})]
    assert (task.task_id, task.wordings, example.input, example.references) == ("p:ag_news", ("which section",), " q\n", ("a",))


@pytest.mark.parametrize(
    "change",
    [{"revision": "main"}, {"dataset": "../x"}, {"dataset": "/etc"}, {"split": None}, {"token": "x"}, {"columns": {"a": 1}}],
)
def test_a_pin_that_is_not_exact_is_a_bad_record(tmp_path, change):
    (tmp_path / "x.hub.json").write_text(json.dumps(PIN | change))
    problems = Problems(tmp_path, strict=False)
    assert rows_of(tmp_path, problems) == []
    [reason] = problems.counts
    assert reason.startswith(f"not a pinned Hub dataset: {next(iter(change))}")


def test_a_hub_out_of_reach_stops_in_lenient_mode_too(tmp_path, monkeypatch):
    def load_dataset(*_args, **_keywords):
        raise ConnectionError

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (tmp_path / "x.hub.json").write_text(json.dumps(PIN))
    with pytest.raises(InputError, match="out of reach"):
        rows_of(tmp_path, Problems(tmp_path, strict=False))
