"""YAML tasks on local rows: lm-eval's own configuration, its data set exchanged and its name given the prefix `local_`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lm_eval.tasks
import yaml
from lm_eval.tasks._yaml_loader import load_yaml

ROOT = Path(lm_eval.tasks.__file__).parent
BBH = ("zeroshot", "fewshot", "cot_zeroshot", "cot_fewshot")
OTHERS = {  # task of lm-eval -> its file and its rows
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", "truthfulqa"),
    "truthfulqa_mc2": ("truthfulqa/truthfulqa_mc2.yaml", "truthfulqa"),
    "gsm8k_cot": ("gsm8k/gsm8k-cot.yaml", "gsm8k"),
    "gsm8k_cot_zeroshot": ("gsm8k/gsm8k-cot-zeroshot.yaml", "gsm8k"),
    "humaneval": ("humaneval/humaneval.yaml", "humaneval"),
}
FROM_HUB = ("dataset_name", "training_split", "fewshot_split", "validation_split", "test_split", "tag", "group", "task_list")
# lm-eval's fetches the metric code_eval from the Hub
CODE = {
    "metric_list": [
        {"metric": "!function instune.evaluation.run_code.pass_at_1", "aggregation": "mean", "higher_is_better": True}
    ],
    "filter_list": [
        {"name": "programs", "filter": [{"function": "custom", "filter_fn": "!function instune.evaluation.run_code.programs"}]}
    ],
}
# of bbh_fewshot, whose prompts end before the blank that answers begin with: lm-eval's own reading finds " (A)" wrong (its #2502)
READINGS = [
    {"name": "none", "filter": [{"function": "take_first"}]},
    {"name": "stripped", "filter": [{"function": "regex", "regex_pattern": r"[\s\S]+"}, {"function": "take_first"}]},
]


class Dumper(yaml.SafeDumper):
    """Writes texts that begin with `!function ` as the tag that lm-eval reads."""


def _text(dumper: Dumper, value: str) -> yaml.ScalarNode:
    if value.startswith("!function "):
        return dumper.represent_scalar("!function", value.removeprefix("!function "), style="")
    return yaml.SafeDumper.represent_str(dumper, value)


Dumper.add_representer(str, _text)


def _importable(value: Any) -> Any:
    """The configuration with functions by module, where the loader left them by path."""
    if isinstance(value, dict):
        return {key: _importable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_importable(part) for part in value]
    if isinstance(value, str) and value.startswith(f"{ROOT}/"):
        return "!function lm_eval.tasks." + value.removeprefix(f"{ROOT}/").replace("/", ".")
    return value


def on_rows(path: Path, rows: str, **others: Any) -> dict[str, Any]:
    """The task of a YAML file of lm-eval, on local rows: the same prompts, answers, filters and metrics.

    Examples that stand in the file stay; a split to draw them from is not here, so such a task has none.
    """
    config = _importable(load_yaml(path, resolve_func=False))
    drawn = "fewshot_split" in config and "samples" not in config.get("fewshot_config", {})
    kept = {key: value for key, value in config.items() if key not in FROM_HUB}
    if drawn:
        kept |= {"num_fewshot": 0}
        kept.pop("fewshot_config", None)
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": rows}}, "test_split": "test"}
    return kept | data | {"task": f"local_{config['task']}"} | others


def _files(rows: Sequence[str], data: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Group (or nothing) and configuration of every task."""
    for name in rows:
        family, _, part = name.partition("_")
        path = f"{data}/{name}.jsonl"
        if family == "bbh":
            for kind in BBH:
                readings = {"filter_list": READINGS} if kind == "fewshot" else {}
                yield f"bbh_{kind}", on_rows(ROOT / "bbh" / kind / f"{part}.yaml", path, **readings)
        elif family == "mmlu":
            yield "mmlu", on_rows(ROOT / "mmlu/default" / f"mmlu_{part}.yaml", path)
    for name, (file, needed) in OTHERS.items():
        if needed in rows:
            yield "", on_rows(ROOT / file, f"{data}/{needed}.jsonl", **(CODE if name == "humaneval" else {}))


def _group(name: str, members: Sequence[str]) -> dict[str, Any]:
    """A group with the metrics of lm-eval's own, over the members that are here."""
    folder, file = ("mmlu/default", "_mmlu.yaml") if name == "mmlu" else (f"bbh/{name.removeprefix('bbh_')}", f"_{name}.yaml")
    own = load_yaml(ROOT / folder / file)
    kept = {key: own[key] for key in ("aggregate_metric_list", "metadata") if key in own}
    if name == "bbh_fewshot":
        readings = [reading["name"] for reading in READINGS]
        kept["aggregate_metric_list"] = [metric | {"filter_list": readings} for metric in own["aggregate_metric_list"]]
    return {"group": f"local_{name}", "task": list(members)} | kept


def write(folder: Path, rows: Sequence[str], data: str) -> list[str]:
    """Write the tasks of the data sets in `rows`, which lie in `data` for who reads them; returns the names to ask for."""
    members: dict[str, list[str]] = {}
    single = []
    for group, config in _files(rows, data):
        (members.setdefault(group, []) if group else single).append(config["task"])
        _dump(folder / f"{config['task']}.yaml", config)
    for group, tasks in members.items():
        _dump(folder / f"local_{group}.yaml", _group(group, tasks))
    return [f"local_{group}" for group in members] + single


def _dump(path: Path, config: dict[str, Any]) -> None:
    text = yaml.dump(config, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    path.write_text(text, encoding="utf-8", newline="\n")
