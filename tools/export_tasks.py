"""Write the target tasks for lm-evaluation-harness's own command line: YAML tasks, with the prompts that evaluate asks.

Not a stage: `python -m tools.export_tasks --out benchmarks/pool`, after `dvc repro ingest base_model`; then `python -m lm_eval
run --include_path benchmarks/pool --tasks pool --model hf --model_args pretrained=data/models/tuned,dtype=float32`.

Reads:  data/pool/tasks.parquet, examples.parquet; data/models/base/ (tokenizer); sections evaluate, prompt, targets, seed
Writes: a folder; of each target task a JSON-lines file with prompt, references, reference (the first, with what ends it), choices
        and gold, and YAML tasks pool_<task>_answer (generation, exact match), pool_<task>_reference (its log-likelihood) and,
        where the metric is choice, pool_<task>_choice (acc: sum, acc_norm: per character, acc_bytes); groups pool_answer,
        pool_reference, pool_choice and, of all, pool
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from instune import config, models
from instune.errors import InputError
from instune.evaluation.predict import pool_tasks
from instune.evaluation.tasks import Document, PoolTask, Prompter, first_examples
from instune.records import read_examples, read_tasks
from instune.targets import target_tasks
from stages import evaluate

KINDS: dict[str, dict[str, Any]] = {
    "answer": {"output_type": "generate_until", "doc_to_target": "references", "metric_list": ["exact_match"]},
    "reference": {"output_type": "loglikelihood", "doc_to_target": "reference", "metric_list": ["acc"]},
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": ["acc", "acc_norm", "acc_bytes"],
    },
}


def row(document: Document) -> dict[str, Any]:
    """One record: what is asked, and what is right."""
    example, choices = document.example, list(document.example.choices or ())
    known = {reference.strip() for reference in example.references}
    gold = next((place for place, choice in enumerate(choices) if choice.strip() in known), None)
    return {
        "example_id": example.example_id,
        "prompt": document.text,
        "references": list(example.references),
        "reference": document.reference,
        "choices": choices,
        "gold": gold,
    }


def configuration(kind: str, task: PoolTask, name: str, data: Path) -> dict[str, Any]:
    """The YAML task of one kind."""
    shared = KINDS[kind]
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in shared["metric_list"]]
    settings = {"generation_kwargs": task.settings} if kind == "answer" else {}
    return {
        "task": f"{name}_{kind}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": data.as_posix()}},
        "test_split": "test",
        "doc_to_text": "prompt",
        "target_delimiter": "",
        "num_fewshot": 0,
        **shared,
        **settings,
        "metric_list": metrics,
        "metadata": {"version": 1},
    }


def files(tasks: dict[str, PoolTask], out: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every file.

    Raises:
        InputError: two task ids that differ only in characters that a file name cannot have.
    """
    groups: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for task_id, task in tasks.items():
        name = "pool_" + re.sub(r"[^A-Za-z0-9_.-]", "_", task_id)
        if names.setdefault(name, task_id) != task_id:
            raise InputError(f"export: tasks {names[name]!r} and {task_id!r} would both be {name}. Rename one of them.")
        yield f"{name}.jsonl", "".join(json.dumps(row(document)) + "\n" for document in task.documents)
        for kind in KINDS if task.task.metric == "choice" else ("answer", "reference"):
            groups.setdefault(kind, []).append(f"{name}_{kind}")
            configured = configuration(kind, task, name, out / f"{name}.jsonl")
            yield f"{name}_{kind}.yaml", yaml.safe_dump(configured, sort_keys=False)
    for kind, members in groups.items():
        yield f"pool_{kind}.yaml", yaml.safe_dump({"group": f"pool_{kind}", "task": members}, sort_keys=False)
    yield "pool.yaml", yaml.safe_dump({"group": "pool", "task": [f"pool_{kind}" for kind in groups]}, sort_keys=False)


def main(*, tasks: Path, examples: Path, model: Path, out: Path) -> None:
    """Render the prompts as the evaluate stage does, and write them."""
    values = config.load(evaluate.SECTIONS)
    limit, pool = values["evaluate"].max_new_tokens, read_tasks(tasks)
    seq2seq = models.load_config(model).is_encoder_decoder
    tokenizer = models.load_tokenizer(model)
    prompter = Prompter(values["prompt"], tokenizer, max_new_tokens=limit, seed=values["seed"], seq2seq=seq2seq)
    targets = target_tasks(pool, values["targets"])
    asked = first_examples(read_examples(examples, targets), values["targets"].examples_per_task)
    questions = pool_tasks(pool, asked, prompter, max_new_tokens=limit)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, text in files(questions, out):
        (partial / name).write_text(text, encoding="utf-8", newline="\n")
    shutil.rmtree(out, ignore_errors=True)
    partial.replace(out)
    documents = [document for task in questions.values() for document in task.documents]
    moved = sum(document.text != document.text.rstrip() for document in documents)
    print(f"{out}: {len(questions)} tasks, {len(documents)} documents; the group of all is `pool`")
    if moved:
        print(
            f"{moved} prompts end in white space. lm-eval counts that as part of what is scored, so its log-likelihoods hold it; "
            "evaluate's do not. Generations are the same."
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, path in (
        ("tasks", "data/pool/tasks.parquet"),
        ("examples", "data/pool/examples.parquet"),
        ("model", "data/models/base"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(path))
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"error: {error}")
