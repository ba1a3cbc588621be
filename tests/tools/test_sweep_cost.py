"""The cost of a sweep against sums by hand, what experiments share, and how its hours are said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from compare_repository import add, make

from instune.config import read_params
from instune.models import load_model
from instune.results import read_json
from instune.scratch_model import new_model, train_tokenizer
from tools.sweep.cost import Cost, Job, Known, jobs, scratch_parameters, total
from tools.sweep.estimate import count_parameters, estimate, hours, keep_seconds, known_of, matmul_rate
from tools.sweep.plan import Experiment, changed, experiments_of, read_sweep
from tools.sweep.tune import trials_of

ROOT = Path(__file__).parents[2]
MINI = read_params(ROOT / "profiles/playground-mini.yaml")
KNOWN = Known(parameters=1000, target_tasks=12, row_tokens=50.0)


def stages(params: dict, known: Known = KNOWN) -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {}
    for job in jobs(params, known).values():
        found.setdefault(job.stage, []).append(job.tokens)
    return found


def test_tokens_by_hand():
    changes = {"optimize.method": "extractor_direct", "optimize.folds": 3, "optimize.outer_steps": 15, "finetune.epochs": 2}
    found = stages(changed(MINI, changes))
    assert found["base_model"] == [1500 * 16 * 128]
    assert found["finetune"] == [60_000 * 2]
    # 3 folds x 15 steps x (8 inner + 8 outer + 2 gradients x (1 + 1) products x 8 rows) x 50 tokens
    assert found["optimize_instructions"] == [3 * 15 * 48 * 50, 0]
    assert found["evaluate"] == [12 * 20 * (2 * 50 + 32)] * 2  # base and tuned
    operations = {(job.stage, job.per_token) for job in jobs(MINI, KNOWN).values()}
    validated = changed(MINI, changes | {"optimize.validation": {"rows": 64, "every": 5, "patience": 3}})
    # before the first step and after 5, 10 and 15, in each of 3 folds
    assert stages(validated)["optimize_instructions"] == [3 * 15 * 48 * 50, 3 * 4 * 64 * 50]
    assert stages(changed(validated, {"optimize.method": "human"}))["optimize_instructions"] == [0, 0]
    assert operations == {
        ("base_model", 6),
        ("optimize_instructions", 6),
        ("optimize_instructions", 2),
        ("finetune", 6),
        ("evaluate", 2),
    }


def test_without_a_budget_the_chosen_rows_count_and_what_is_not_known_is_none():
    free = changed(MINI, {"finetune.max_tokens": None})
    assert stages(free)["finetune"] == [None]
    part = changed(free, {"select.examples_per_task": {"count": 10, "by": "first"}})
    assert stages(part)["finetune"] == [12 * 5 * 10 * 50]
    assert stages(part, Known(1000, 12, None))["finetune"] == [12 * 5 * 10 * 640]  # rows of the greatest length
    assert stages(MINI, Known(1000, None, 50.0))["evaluate"] == [None, None]
    assert stages(MINI)["optimize_instructions"] == [0, 0]
    fixed = {"optimize.method": "extractor_direct", "optimize.extractor.choose": "fixed"}
    assert stages(changed(MINI, fixed))["optimize_instructions"] == [0, 0]


def test_operations_are_6_per_parameter_and_token_of_training_and_2_of_reading():
    cost = total([Job("finetune", 100, 6, 1000), Job("evaluate", 10, 2, 1000), Job("evaluate", 5, 2, 1000)])
    assert cost == Cost({"finetune": 100, "evaluate": 15}, 6 * 100 * 1000 + 2 * 15 * 1000, [])
    assert total([Job("finetune", None, 6, 1000), Job("evaluate", 10, 2, None)]).unknown == ["evaluate", "finetune"]


def test_parameters_are_those_of_the_model_that_the_stage_makes(model_folder):
    tokenizer = train_tokenizer(["some text of no interest"] * 5, vocab_size=270)
    for layers, hidden in ((2, 32), (3, 16)):
        model = new_model(tokenizer, hidden_size=hidden, layers=layers, heads=2, seed=0)
        sizes = {"vocab_size": len(tokenizer), "hidden_size": hidden, "layers": layers}
        assert scratch_parameters(sizes) == model.num_parameters()
    assert count_parameters(model_folder) == load_model(model_folder).num_parameters()
    assert count_parameters(model_folder / "nothing") is None


def test_the_factorial_sweep_pays_once_for_what_its_arms_share():
    sweep = read_sweep(ROOT / "sweeps/factorial.yaml")
    experiments = experiments_of("factorial", sweep, ROOT, {})
    assert len(experiments) == 40
    work = {key: job for one in experiments for key, job in jobs(one.params, KNOWN).items()}
    counts = {stage: sum(job.stage == stage and job.tokens != 0 for job in work.values()) for stage in ("base_model", "finetune")}
    assert counts == {"base_model": 1, "finetune": 40}
    optimized = [job for job in work.values() if job.stage == "optimize_instructions" and job.tokens]
    assert (
        len(optimized) == 2 * 2 * 5
    )  # loop and validation of two selections under five seeds; both masks take the same instructions
    assert sum(job.stage == "evaluate" for job in work.values()) == 40 + 5  # the base model once per seed


def test_trials_are_paid_as_far_as_their_stage_goes(tmp_path):
    repository = make(tmp_path / "repository")
    (repository / "sweeps").mkdir(exist_ok=True)
    shutil.copy(ROOT / "profiles/playground-mini.yaml", repository / "profiles")
    (repository / "sweeps/tuned.yaml").write_text(
        "about: one\nprofile: playground-mini\nseeds: [0]\nbaseline: it\n"
        "arms: {it: {finetune.loss_mask: it}, im: {finetune.loss_mask: im}}\n"
        "tune: [{key: finetune.learning_rate, values: [0.001, 0.01, 0.1], stage: finetune,"
        " report: reports/finetune.json, measure: best}]\nmetrics: {nll: lower}\n"
    )
    sweep = read_sweep(repository / "sweeps/tuned.yaml")
    trials = trials_of("tuned", sweep, repository)
    assert [(trial.arm, trial.params["finetune"]["learning_rate"], stage) for trial, stage in trials] == [
        (arm, rate, "finetune") for arm in ("it", "im") for rate in (0.001, 0.01, 0.1)
    ]
    experiments = experiments_of("tuned", sweep, repository, {})
    said = estimate(repository, tmp_path, "tuned", "HEAD", experiments, experiments, trials)
    assert "cost of 6 trials and 2 experiments" in said
    assert f"finetune {8 * 0.06:.2g} M" in said
    assert "evaluate" in said.partition("unknown")[2]  # the trials have none


def test_hours_go_by_seconds_per_token_then_by_experiment_then_by_a_bound():
    cost = Cost({"finetune": 7200}, 10, [])
    assert hours(cost, 4, Cost({"finetune": 100}), [20.0, 30.0]).startswith("About 1.0 hours, at 0.5 seconds per token as in 2")
    unknown = Cost({}, 0, ["finetune"])
    assert hours(unknown, 4, Cost(), [1800.0]) == "About 2.0 hours, at 1800 seconds each as in 1 of its experiments."
    assert hours(unknown, 4, None, []) == "Hours: unknown until an experiment of it has run."
    assert "hours if models were as fast as plain matrix products" in hours(Cost({"finetune": 1}, 10**15, []), 4, None, [])
    assert matmul_rate() > 1e8


def test_what_is_there_costs_nothing_and_rows_are_as_long_as_in_reports_of_the_same(tmp_path):
    repository = make(tmp_path / "repository")
    plain, im = changed(MINI, {"seed": 1}), changed(MINI, {"finetune.loss_mask": "im", "seed": 1})
    experiments = [Experiment("one-plain-s1", "plain", 1, plain), Experiment("one-im-s1", "im", 1, im)]
    folder = repository / ".scratch/sweeps/one"
    said = estimate(repository, folder, "one", "HEAD", experiments, experiments)
    assert "finetune 0.12 M" in said
    assert "Not in it, unknown before they run: evaluate" in said
    assert "N = 1.31 M" in said
    assert "Rows are taken to be as long as prompt.max_tokens allows: 640" in said
    add(repository, "one-plain-s1", plain, lambda task, place: 1.0, reports={"rows": {"training": 20}})
    assert known_of(repository, experiments, "one", "HEAD")["one-im-s1"] == Known(1_305_728, 5, 50.0)
    keep_seconds(folder, experiments[0], 100.04)
    assert read_json(folder / "seconds.json") == {"one-plain-s1": 100.0}
    said = estimate(repository, folder, "one", "HEAD", experiments, experiments[1:])
    assert "finetune 0.06 M, evaluate 0.0132 M" in said  # the base model's answers and weights are there
    tokens = 1500 * 16 * 128 + 60_000 + 2 * 13_200
    assert f"About {(60_000 + 13_200) * 100 / tokens / 3600:.1f} hours" in said
    assert f"{100 / tokens:.2g} seconds per token as in 1 of its experiments" in said


@pytest.mark.parametrize("profile", ["small", "masks-mini", "superni-mini"])
def test_every_kind_of_base_model_can_be_estimated(profile, tmp_path):
    repository = make(tmp_path / "repository")
    params = read_params(ROOT / f"profiles/{profile}.yaml")
    one = Experiment("one-plain-s0", "plain", 0, params)
    assert "cost of 1 experiments" in estimate(repository, tmp_path, "one", "HEAD", [one], [one])
