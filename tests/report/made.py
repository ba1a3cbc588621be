"""A small made run, in the files that the earlier stages leave: two categories, three target tasks, three floors."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from instune import config
from instune.evaluation.predictions import Prediction, write_predictions
from instune.report.inputs import Inputs, read_curves, read_pairs
from instune.results import read_json, write_json, write_text
from stages.report import SECTIONS
from tests.report.made_benchmarks import benchmarked

TASKS = {"task01_colour": "Extraction", "task02_price": "Extraction", "task03_topic": "Topic Classification"}
METRICS = {"exact_match": 0.05, "rouge_l": 0.2, "nll": 2.9}
BASE = {"task01_colour": 0.0, "task02_price": 0.1, "task03_topic": 0.05}
TUNED = {"task01_colour": 0.6, "task02_price": 0.5, "task03_topic": 0.4}
FLOORS = {
    "majority": {"task01_colour": 0.2, "task02_price": 0.1, "task03_topic": 0.25},
    "copied_input": dict.fromkeys(TASKS, 0.0),
    "copied_demonstration": {"task01_colour": 0.1, "task02_price": 0.0, "task03_topic": 0.25},
}


def _spread(values: list[float], width: float) -> dict[str, Any]:
    middle = mean(values)
    return {"mean": middle, "low": middle - width, "high": middle + width, "tasks": len(values)}


def _scored(shares: dict[str, float], *, nll: bool) -> dict[str, Any]:
    tasks = {}
    for name, share in shares.items():
        tasks[name] = {"category": TASKS[name], "examples": 4, "exact_match": share, "rouge_l": share + 0.1}
        if nll:
            tasks[name]["nll"] = 3 - 2 * share
    metrics = [metric for metric in METRICS if metric in tasks["task01_colour"]]

    def over(names: list[str]) -> dict[str, Any]:
        return {metric: _spread([tasks[name][metric] for name in names], 0.05) for metric in metrics}

    categories = {}
    for category in sorted(set(TASKS.values())):
        names = [name for name in TASKS if TASKS[name] == category]
        of_examples = {metric: mean(tasks[name][metric] for name in names) for metric in ("exact_match", "rouge_l")}
        categories[category] = over(names) | {"official": of_examples, "tasks": len(names), "examples": 4 * len(names)}
    official = {metric: mean(tasks[name][metric] for name in TASKS) for metric in metrics}
    fixed = {"exact_match": official["exact_match"], "rouge_l": official["rouge_l"], "changed": 0}
    return {"overall": over(list(TASKS)), "official": official, "fixed": fixed, "categories": categories, "tasks": tasks}


def _difference(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {
        metric: _spread([left["tasks"][name][metric] - right["tasks"][name][metric] for name in TASKS], 0.12)
        for metric in METRICS
        if metric in right["overall"]
    }


def scores() -> dict[str, Any]:
    """scores.json as the score stage writes it."""
    models = {"base": _scored(BASE, nll=True), "tuned": _scored(TUNED, nll=True)}
    floors = {name: _scored(shares, nll=False) for name, shares in FLOORS.items()}
    differences = {f"tuned-{name}": _difference(models["tuned"], other) for name, other in floors.items()}
    differences["tuned-base"] = _difference(models["tuned"], models["base"])
    return {
        "confidence": 0.95,
        "examples": 12,
        "tasks_scored": 3,
        "models": models,
        "floors": floors,
        "differences": differences,
        "truncated": {"input": 2},
        "merged": 0,
        "finish": {"base": {"length": 7, "stop": 5}, "tuned": {"length": 0, "stop": 12}},
    }


def predictions(model: str, outputs: dict[str, str] | None = None) -> list[Prediction]:
    """Predictions of one model: four examples a task; `outputs` by example id, else a chatty or a right answer."""
    rows = []
    for task in TASKS:
        for number in range(4):
            example = f"{task}-{number}"
            right = model == "tuned" and number % 2 == 0
            said = "red" if right else f"Sure! The answer that you are looking for, number {number}, is the following one."
            rows.append(
                Prediction(
                    task_id=task,
                    example_id=example,
                    prompt=f"<|im_start|>user\nName the colour.\n\nApple {number} is red.<|im_end|>\n<|im_start|>assistant\n",
                    prompt_hash=f"{number:016x}",
                    output=(outputs or {}).get(example, said),
                    references=["red"],
                    choices=None,
                    choice_loglikelihoods=None,
                    nll=2.0 if model == "tuned" else 5.8,
                    nll_tokens=2,
                    prompt_tokens=20,
                    output_tokens=2 if right else 16,
                    finish="stop" if right else "length",
                    model=model,
                    truncated=[],
                    merged=False,
                )
            )
    return rows


SELECTION = {
    "method": "instruction",
    "top_k": 2,
    "targets": {
        task: [
            {"task_id": f"task{number}_source", "score": 0.9 - 0.07 * number, "votes": [2 - number, number] + [0] * 8}
            for number in range(2)
        ]
        for task in TASKS
    },
    "selected": ["task0_source", "task1_source"],
    "margin": dict.fromkeys(TASKS, 0.0312),
    "truncated": 4,
    "filled": {},
    "unranked": 0,
}
ALIGN, ONE_CHOICE = {"epoch": 0}, {"choices": 1, "overlap": {}, "development": []}
DETAILS = {
    "stability": {task: {"mean": 0.75, "min": 0.5} for task in TASKS} | {"task03_topic": None},
    "matches": {
        task: [
            {
                "task_id": f"task{number}_source",
                "target_wording": f"Name what {task} asks for.",
                "source_wording": "Name it. " * (30 if number else 1),
                "score": 0.9 - 0.07 * number,
            }
            for number in range(2)
        ]
        for task in TASKS
    },
    "scores": {
        "targets": list(TASKS),
        "tasks": ["task0_source", "task1_source"],
        "scores": [[0.9, 0.9, 0.9], [0.83, 0.83, -0.05]],
        "of": [3, 2],
    },
    "truncated": {"task0_source": [0, 2]},
    "map": {
        "points": [
            {"task_id": name, "wording": 0, "text": f"Text of {name}.", "category": "Colours", "kind": kind, "x": x, "y": -x}
            for name, kind, x in (("task0_source", "chosen", 0.5), ("task01_colour", "target", 0.25), ("task9", "other", -0.5))
        ],
        "of": 7,
        "shares": [0.25, 0.125],
    },
}
NO_DETAILS = {"stability": {}, "matches": {}, "scores": None, "truncated": {}, "map": None}
CARD = {
    "playground": {
        "tasks": 72,
        "examples": 4320,
        "splits": {"train": 60, "test": 12},
        "categories": {"Extraction": 30, "Topic Classification": 42},
        "examples_with_an_empty_reference": 0,
        "words": {part: {"mean": 30.25, "p95": 61.0} for part in ("instruction", "input", "output")},
        "instruction_output_ratio": 12.5,
        "skipped": {"output: not a list": 3},
        "first_skipped": {"output: not a list": "tasks/task007.json, Instances[4]"},
        "overlap": [],
        "dropped_for_overlap": 0,
        "settings": {"instances_per_task": 60, "reader": "super_natural_instructions"},
    }
}
LENGTHS = {
    "playground": {
        "examples": 2000,
        "of": 4320,
        "parts": {
            part: {
                "words": {"mean": 30.5, "p5": 2.0, "p25": 9.5, "p50": 27.0, "p75": 40.0, "p95": 60.0, "max": 70}
                | {"histogram": [100, 0, 100, 200, 300, 500, 600, 200]},
                "tokens": {"mean": 40.25, "p5": 3.0, "p25": 12.0, "p50": 33.0, "p75": 51.0, "p95": 81.0, "max": 12345}
                | {"histogram": [100, 0, 100, 200, 300, 500, 600, 199, 0, 0, 0, 0, 0, 0, 1]},
            }
            for part in ("instruction", "input", "output")
        },
    }
}
HUMAN = {"kind": "human", "base_model": "abc", "tasks": [], "settings": {}, "learned": False}
OPTIMIZE = {"method": "human", "human": ["task0_source", "task1_source"], "optimized": []}
LEARNED = {
    "method": "embedder_direct",
    "human": ["task1_source"],
    "optimized": ["task0_source"],
    "folds": [
        {
            "meta_train": ["task0_source"],
            "meta_test": ["task1_source"],
            "first": {"outer_loss": 2.5},
            "last": {"outer_loss": 1.25},
        }
    ],
    "diversity": {name: {"mean_cosine_distance": 0.5, "singular_value_entropy": 1.5} for name in ("human", "learned")},
    "dropped": {"row longer than max_tokens with an empty input": 5},
}
SEGMENTS = {"template": 9000, "system": 0, "instruction": 40000, "examples": 0, "input": 30000, "output": 3500}
FINETUNE = {
    "instructions": "human",
    "tasks": {"training": 2, "validation": 0},
    "rows": {"training": 640, "validation": 0, "passes": 2},
    "tokens": {"all": 82500, "with_loss": 3500, **SEGMENTS},
    "share_with_loss": 3500 / 82500,
    "loss_weights": dict.fromkeys(SEGMENTS, 0.0) | {"output": 1.0},
    "instruction_output_ratio": 20.0,
    "dropped": {"row longer than max_tokens with an empty input": 1},
    "truncated": {"instruction": 17},
    "merged_at_output": 0,
    "steps": 40,
    "train_loss": 1.125,
    "validation_nll": {"before": 2.9, "after": 1.5},
    "sample": {
        "task_id": "task0_source",
        "example_id": "task0_source-0",
        "tokens": [["<|user|>\n", "template", 0.0], ["Name the <b>.", "instruction", 0.5], ["red", "output", 1.0]],
    },
}
PARAMS = """\
seed: 0
targets: {by: split, values: [test], examples_per_task: 20}
pools: {playground: {reader: super_natural_instructions, instances_per_task: 60}}
prompt:
  {template: chat, instruction_position: before, wording: any, exemplars: 0,
  max_instruction_tokens: 256, max_input_tokens: 256, max_tokens: 640}
playground: {seed: 0, instances_per_task: 60}
ingest: {strict: true}
base_model: {source: packaged, name: smollm2-135m-instruct}
align: {encoder: "packaged:all-minilm-l6-v2", epochs: 0}
align_stability: {alignments: 0}
embed: {batch_size: 64}
lengths: {examples_per_pool: 2000}
embed_model: {kinds: [hidden_state], examples: 8}
select: {method: instruction, aggregation: vote, top_k: 2}
optimize: {method: human, embedder: {soft_tokens: 16, gamma: auto}}
finetune: {loss_mask: it, normalize_by: weights, max_tokens: 100000, learning_rate: 1e-4}
benchmarks: {tasks: [qa, im_nlp], chat_template: none}
evaluate: {max_new_tokens: 32, batch_size: 16, precision: auto}
score: {confidence: 0.95}
"""
FILES = (
    "card",
    "lengths",
    "align",
    "align_stability",
    "selection",
    "selection_details",
    "instructions",
    "optimize",
    "finetune",
    "scores",
)
CURVES = {"train/loss": [3.1, 2.0, 1.4, 1.1], "validation/loss": [2.9, 1.5], "learning_rate": [1e-4, 5e-5, 0.0]}


def write_run(folder: Path) -> dict[str, Path]:
    """Write everything that the report reads, params.yaml too; returns the stage's keywords."""
    paths = {name: folder / name / f"{name}.json" for name in FILES}
    for name, value in zip(
        FILES, (CARD, LENGTHS, ALIGN, ONE_CHOICE, SELECTION, DETAILS, HUMAN, OPTIMIZE, FINETUNE, scores()), strict=True
    ):
        write_json(paths[name], value)
    for model, right in (("base", 0.25), ("tuned", 0.5)):
        paths[f"{model}_benchmarks"] = folder / f"{model}_benchmarks"
        write_json(paths[f"{model}_benchmarks"] / "results.json", benchmarked(right))
        paths[model] = folder / model
        write_predictions(paths[model], predictions(model))
    for stage, curves in (("finetune", CURVES), ("optimize", {"outer_loss": []})):
        paths[f"{stage}_curves"] = folder / "curves" / stage
        for name, values in curves.items():
            lines = [f"step\t{name.split('/')[-1]}", *(f"{10 * step}\t{value}" for step, value in enumerate(values))]
            write_text(paths[f"{stage}_curves"] / "plots" / "metrics" / f"{name}.tsv", "\n".join(lines) + "\n")
    write_text(folder / "params.yaml", PARAMS)
    return paths | {"instructions": paths["instructions"].parent, "out": folder / "report.html", "markdown": folder / "report.md"}


def load(folder: Path) -> Inputs:
    """The made run as the page reads it."""
    paths = write_run(folder)
    return Inputs(
        params=config.load(SECTIONS, path=folder / "params.yaml"),
        **{name: read_json(folder / name / f"{name}.json") for name in FILES},
        finetune_curves=read_curves(paths["finetune_curves"]),
        optimize_curves=read_curves(paths["optimize_curves"]),
        base_benchmarks=read_json(paths["base_benchmarks"] / "results.json"),
        tuned_benchmarks=read_json(paths["tuned_benchmarks"] / "results.json"),
        pairs=read_pairs(paths["base"], paths["tuned"]),
        versions={"torch": "1.2.3"},
    )
