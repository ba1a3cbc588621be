from pathlib import Path

import pytest
from ruamel.yaml import YAML

from instune.config import read_params
from instune.errors import InputError
from instune.report.page import TEMPLATES
from instune.results import write_text
from stages.report import SECTIONS, main
from tests.report.made import PARAMS, write_run


def test_the_stage_writes_one_page_that_names_no_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = write_run(tmp_path)
    main(**paths)
    text = paths["out"].read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert str(tmp_path) not in text
    assert list(tmp_path.glob("*.partial")) == []
    assert "report.html" in capsys.readouterr().out


def test_the_short_form_is_written_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_run(tmp_path)
    main(**paths)
    text = paths["markdown"].read_text(encoding="utf-8")
    assert text.startswith("# Base against tuned on the test split\n")
    assert "Tuning raised exact match" in text


def test_templates_are_a_dependency_of_the_stage():
    text = (Path(__file__).parents[2] / "dvc.yaml").read_text(encoding="utf-8")
    report = YAML(typ="safe").load(text)["stages"]["report"]
    assert TEMPLATES.relative_to(Path(__file__).parents[2]).as_posix() in report["deps"]
    assert {"reports/report.md": {"cache": False}} in report["outs"]


def test_every_parameter_is_on_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_run(tmp_path)
    main(**paths)
    text = paths["out"].read_text(encoding="utf-8")
    for key in ("embedder.soft_tokens", "playground.instances_per_task", "max_instruction_tokens", "learning_rate"):
        assert f'<th scope="row">{key}</th>' in text


def test_the_page_reads_every_section_of_the_committed_parameters():
    assert set(SECTIONS) == set(read_params(Path(__file__).parents[2] / "params.yaml"))


def test_a_model_from_scratch_and_weights_by_segment_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_run(tmp_path)
    params = PARAMS.replace("source: packaged, name: smollm2-135m-instruct", "source: from_scratch, steps: 10")
    write_text(tmp_path / "params.yaml", params.replace("loss_mask: it", "loss_mask: {input: 0.1, output: 1.0}"))
    main(**paths)
    text = paths["out"].read_text(encoding="utf-8")
    assert "<dd>trained from scratch</dd>" in text
    assert "loss_mask: input 0.1, output 1," in text


def test_a_missing_section_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_run(tmp_path)
    write_text(tmp_path / "params.yaml", PARAMS.replace("score: {confidence: 0.95}\n", ""))
    with pytest.raises(InputError, match="score: section missing"):
        main(**paths)
    assert not paths["out"].exists()
