"""The finetune stage on a tiny model: what it writes, refuses, leaves out, and that a killed run ends as an uninterrupted one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from finetuning import PARAMS, SELECTED, set_params, workspace_of
from ruamel.yaml import YAML
from safetensors.torch import load
from transformers import AutoModelForCausalLM, AutoTokenizer
from two_processes import by_two

from instune.errors import InputError
from instune.results import read_json
from instune.tuning import train
from stages import finetune


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny_pool, model_folder):
    """A folder with everything that the stage reads; returns its keyword arguments."""
    monkeypatch.chdir(tmp_path)
    return workspace_of(tiny_pool, model_folder)


def outputs() -> dict[str, bytes]:
    """Content of every file that the stage wrote."""
    roots = [Path("tuned"), Path("curves"), Path("finetune.json")]
    files = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*"))) if path.is_file()]
    return {path.as_posix(): path.read_bytes() for path in files}


def test_two_runs_write_the_same_bytes_and_no_checkpoint_stays(workspace):
    finetune.main(**workspace)
    first = outputs()
    assert {"tuned/model.safetensors", "curves/plots/metrics/train/loss.tsv", "finetune.json"} <= set(first)
    assert not list(Path(".scratch").rglob("*.pt"))
    finetune.main(**workspace)
    assert outputs() == first


def test_two_processes_train_what_one_does(workspace):
    # Steps of 5 rows, the last of one: a process has none there.
    set_params(batch_size=5, max_tokens=700, neftune_alpha=5.0, kl_weight=0.5, gradient_checkpointing=True)
    finetune.main(**workspace)
    one = outputs()
    done = by_two("-m", "stages.finetune", options=workspace)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("look at") == 1
    two = outputs()
    assert set(two) == set(one)
    ours, theirs = load(one["tuned/model.safetensors"]), load(two["tuned/model.safetensors"])
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 1e-4, name
    for name, rel in (("loss", 1e-5), ("kl", 1e-3), ("gradient_norm", 1e-5)):
        ours, theirs = (
            [float(line.split()[1]) for line in text[f"curves/plots/metrics/train/{name}.tsv"].split(b"\n")[1:-1]]
            for text in (one, two)
        )
        assert theirs[0] == pytest.approx(ours[0], rel=rel, abs=1e-6), name  # before Adam divides by what may be near 0
        assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-6), name


def test_saved_model_loads_without_us_and_stops_at_its_terminator(workspace):
    finetune.main(**workspace)
    tokenizer, model = AutoTokenizer.from_pretrained("tuned"), AutoModelForCausalLM.from_pretrained("tuned")
    assert tokenizer.chat_template
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize("optimizer", [PARAMS["finetune"]["optimizer"], {"name": "adafactor"}])
def test_killed_run_ends_as_an_uninterrupted_one(workspace, monkeypatch, optimizer):
    set_params(method="lora", optimizer=optimizer, max_tokens=500, epochs=3)  # lora's dropout draws in each step
    finetune.main(**workspace)
    expected, steps, real = outputs(), [], train.Trainer._step

    def killed(self, step, rows):
        if step == 3 and not steps:
            raise KeyboardInterrupt
        return real(self, step, rows)

    monkeypatch.setattr(train.Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune.main(**workspace)
    assert len(list(Path(".scratch").rglob("state.pt"))) == 1

    def counted(self, step, rows):
        steps.append(step)
        return real(self, step, rows)

    monkeypatch.setattr(train.Trainer, "_step", counted)
    finetune.main(**workspace)
    assert steps[0] == 2  # the checkpoint was taken after two steps
    assert outputs() == expected


def test_no_row_of_a_task_that_was_not_selected(workspace, monkeypatch):
    seen = set()
    real = train.Trainer.__init__

    def spy(self, model, rows, *args, **keywords):
        seen.update(row.task_id for row in [*rows, *keywords["validation"]])
        real(self, model, rows, *args, **keywords)

    monkeypatch.setattr(train.Trainer, "__init__", spy)
    finetune.main(**workspace)
    assert seen == set(SELECTED)


def test_report_counts_what_was_trained_on(workspace):
    finetune.main(**workspace)
    report = read_json(Path("finetune.json"))
    tokens = report["tokens"]
    assert tokens["all"] == sum(tokens[name] for name in ("template", "system", "instruction", "examples", "input", "output"))
    assert 1100 < tokens["all"] <= 1200
    assert tokens["with_loss"] == tokens["output"]
    assert report["share_with_loss"] == tokens["with_loss"] / tokens["all"]
    assert report["tasks"] == {"training": 3, "validation": 1}
    assert report["steps"] == -(-report["rows"]["training"] // 4)
    assert report["rows"]["passes"] == 2  # three tasks of five examples hold less than the budget
    assert set(report["validation_nll"]) == {"before", "after"}


def test_nan_stops_with_a_checkpoint_and_no_model(workspace):
    set_params(learning_rate=1e30, max_grad_norm=1e30)
    with pytest.raises(InputError, match=r"finetune\.learning_rate"):
        finetune.main(**workspace)
    assert len(list(Path(".scratch").rglob("state.pt"))) == 1
    assert not Path("tuned").exists()
    assert not Path("finetune.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": "fast"}, r"finetune\.learning_rate"),
        ({"loss_mask": "prompt"}, r"finetune\.loss_mask"),
        ({"loss_mask": {"output": 1.0}}, r"finetune\.loss_mask"),
        ({"loss_mask": dict.fromkeys(("template", "system", "instruction", "examples", "input", "output"), 0.0)}, "positive"),
        ({"max_tokens": 5}, "no training row"),
        ({"max_tokens": 0}, r"finetune\.max_tokens"),
        ({"epochs": 0}, r"finetune\.epochs"),
        ({"schedule": "cosine"}, r"finetune\.schedule"),
        ({"optimizer": {"name": "sgd"}}, r"finetune\.optimizer"),
        ({"optimizer": {"name": "adafactor", "beta1": 0.9}}, r"finetune\.optimizer.*beta1"),
        ({"optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 1.0, "epsilon": 1e-8}}, r"finetune\.optimizer.*beta2"),
        ({"validation_share": 0.9}, r"finetune\.validation_share"),
        ({"packing": "yes"}, r"finetune\.packing"),
        ({"neftune_alpha": -1.0}, r"finetune\.neftune_alpha"),
        ({"kl_weight": -0.1}, r"finetune\.kl_weight"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_written(workspace, changes, message):
    set_params(**changes)
    with pytest.raises(InputError, match=message):
        finetune.main(**workspace)
    assert not outputs()


def test_budget_below_one_pass_repeats_no_example(workspace):
    set_params(max_tokens=400)
    finetune.main(**workspace)
    assert read_json(Path("finetune.json"))["rows"]["passes"] == 1


def test_without_a_budget_every_example_is_trained_on_once_an_epoch(workspace, monkeypatch, capsys):
    seen, real = [], train.Trainer._step

    def spy(self, step, rows):
        seen.append([(row.task_id, tuple(row.input_ids)) for row in rows])
        return real(self, step, rows)

    monkeypatch.setattr(train.Trainer, "_step", spy)
    set_params(max_tokens=None, epochs=2, validation_share=0.0)
    finetune.main(**workspace)
    report = read_json(Path("finetune.json"))
    assert report["rows"] == {"training": 20, "validation": 0, "passes": 1}  # four tasks of five examples
    assert report["steps"] == len(seen) == 10
    first, second = ([row for rows in half for row in rows] for half in (seen[:5], seen[5:]))
    assert sorted(first) == sorted(second)
    assert first != second
    assert len(set(first)) == 20
    said = capsys.readouterr().out
    assert "rows: 20 to train on" in said
    assert "they repeat" not in said


def test_optimizer_and_schedule_reach_the_training(workspace, monkeypatch):
    made, real = [], train.new_optimizer

    def spy(*args, **keywords):
        made.append(real(*args, **keywords))
        return made[-1]

    monkeypatch.setattr(train, "new_optimizer", spy)
    set_params(optimizer={"name": "adamw", "beta1": 0.8, "beta2": 0.98, "epsilon": 1e-6}, schedule="constant", warmup_share=0.0)
    finetune.main(**workspace)
    assert {(*group["betas"], group["eps"]) for group in made[0].param_groups} == {(0.8, 0.98, 1e-6)}
    rates = Path("curves/plots/metrics/train/learning_rate.tsv").read_text().split("\n")[1:-1]
    assert {float(line.split()[1]) for line in rates} == {1e-3}


def set_prompt(**changes) -> None:
    with Path("params.yaml").open("w") as file:
        YAML().dump(PARAMS | {"prompt": PARAMS["prompt"] | changes}, file)


def test_rows_beyond_the_models_context_are_refused(workspace):
    set_prompt(max_tokens=2049)
    with pytest.raises(InputError, match="at most 2048"):
        finetune.main(**workspace)
    assert not outputs()


def test_the_model_is_put_on_the_accelerators_device_and_saved_with_the_templates_terminator(workspace, monkeypatch):
    devices, terminators, load, save = [], [], finetune.models.load_model, finetune.models.save

    class Elsewhere(finetune.Accelerator):
        device = torch.device("cpu", 0)

    def spy_load(folder, *, device):
        devices.append(device)
        return load(folder, device=device)

    def spy_save(*args, terminator):
        terminators.append(terminator)
        save(*args, terminator=terminator)

    monkeypatch.setattr(finetune, "Accelerator", Elsewhere)
    monkeypatch.setattr(finetune.models, "load_model", spy_load)
    monkeypatch.setattr(finetune.models, "save", spy_save)
    finetune.main(**workspace)
    assert devices == [torch.device("cpu", 0)]
    assert terminators == ["<|im_end|>"]
