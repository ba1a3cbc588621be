"""The cost of a sweep before it starts: what is known of its model and targets, how fast experiments of it ran, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from instune import models
from instune.errors import InputError
from instune.results import read_json, write_json
from tools.sweep.cost import BASE, POOL, Cost, Known, jobs, scratch_parameters, total
from tools.sweep.found import RESULTS, git, json_at, references, yaml_at
from tools.sweep.plan import Experiment

SECONDS = "seconds.json"  # in a sweep's folder: experiment -> seconds that it took
MODEL = Path("data/models/base")
SIZE, LEAST = 1024, 0.3  # of a square matrix; seconds of measuring


def keep_seconds(folder: Path, experiment: Experiment, seconds: float) -> None:
    """Remember how long an experiment took that ran from its beginning to its end."""
    path = folder / SECONDS
    write_json(path, (read_json(path) if path.exists() else {}) | {experiment.name: round(seconds, 1)})


def count_parameters(folder: Path) -> int | None:
    """Parameters of a model by its configuration alone; None where that cannot be read."""
    try:
        config = models.load_config(folder)
    except InputError:
        return None
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config).num_parameters()


def _parameters(root: Path, params: Mapping[str, Any], commit: str) -> int | None:
    base = params["base_model"]
    if base["source"] == "from_scratch":
        return scratch_parameters(base)
    if base["source"] == "local":
        return count_parameters(Path(base["name"]))
    same = yaml_at(root, commit, "params.yaml").get("base_model") == base  # data/models/base is made by those
    return count_parameters(root / MODEL) if same and (root / MODEL).exists() else None


def _measured(root: Path, params: Mapping[str, Any], revs: Iterable[str]) -> Known:
    """Target tasks and row length from the first commit that has reports of these."""
    tasks, row = None, None
    targets = params["targets"]
    if targets["by"] == "tasks":
        tasks = len(targets["values"])
    for rev in revs:
        there = git(root, "ls-tree", "-r", "--name-only", "--full-tree", rev).splitlines()
        if tasks is not None and row is not None:
            break
        if not {*RESULTS, "params.yaml"} <= set(there):
            continue
        other = yaml_at(root, rev, "params.yaml")
        if all(other.get(name) == params[name] for name in POOL):
            scores, finetune = (json_at(root, rev, path) for path in RESULTS)
            tasks = tasks or scores["tasks_scored"]
            if other.get("prompt") == params["prompt"]:  # another base model's tokenizer makes rows a little longer or shorter
                row = row or finetune["tokens"]["all"] / finetune["rows"]["training"]
    return Known(None, tasks, row)


def known_of(root: Path, experiments: Iterable[Experiment], name: str, commit: str) -> dict[str, Known]:
    """Experiment -> what is known of its model, targets and rows."""
    own = [revs[0] for other, revs in references(root).items() if other.startswith(f"{name}-")]
    found, known = {}, {}
    for experiment in experiments:
        params = experiment.params
        key = str([params[section] for section in (*BASE, "prompt")])
        if key not in known:
            measured = _measured(root, params, [*own, commit])
            known[key] = Known(_parameters(root, params, commit), measured.target_tasks, measured.row_tokens)
        found[experiment.name] = known[key]
    return found


def matmul_rate() -> float:
    """Operations per second of float32 matrix products on the device that stages use, over a third of a second."""
    device = models.pick_device()
    one = torch.rand(SIZE, SIZE, device=device)
    (one @ one).sum().item()  # the first product also starts the library
    begin, count = perf_counter(), 0
    while perf_counter() - begin < LEAST:
        (one @ one).sum().item()
        count += 1
    return 2 * SIZE**3 * count / (perf_counter() - begin)


def hours(cost: Cost, experiments: int, measured: Cost | None, seconds: list[float]) -> str:
    """How long it will take, as a sentence.

    Args:
        cost: of what is to run, in so many experiments.
        measured: of the experiments that took these seconds, none: nothing is measured.
    """
    count = len(seconds)
    if measured and measured.all_tokens and cost.all_tokens and not cost.unknown and not measured.unknown:
        rate = sum(seconds) / measured.all_tokens
        return (
            f"About {cost.all_tokens * rate / 3600:.1f} hours, at {rate:.2g} seconds per token as in {count} of its experiments."
        )
    if seconds:
        mean = sum(seconds) / count
        return f"About {experiments * mean / 3600:.1f} hours, at {mean:.0f} seconds each as in {count} of its experiments."
    if not cost.flops or cost.unknown:
        return "Hours: unknown until an experiment of it has run."
    rate = matmul_rate()
    return (
        f"{cost.flops / rate / 3600:.2g} hours if models were as fast as plain matrix products here ({rate / 1e9:,.0f} GFLOP/s);"
        " they are slower. The first experiment will tell."
    )


def said(cost: Cost, experiments: int, trials: int, time: str, parameters: Iterable[int], bounds: Iterable[int]) -> str:
    """The cost in words.

    Args:
        bounds: prompt.max_tokens of experiments whose rows are taken to be that long.
    """
    before = f"{trials} trials and " if trials else ""
    shared = f"cost of {before}{experiments} experiments, what they share counted once"
    unknown = f" Not in it, unknown before they run: {', '.join(cost.unknown)}." if cost.unknown else ""
    if not cost.tokens:
        return f"{shared}: nothing that is known.{unknown}\n  {time}"
    tokens = ", ".join(f"{stage} {count / 1e6:.3g} M" for stage, count in cost.tokens.items())
    sizes = " or ".join(f"{size / 1e6:.3g} M" for size in sorted(set(parameters)))
    model = f"{cost.flops:.2g} FLOPs by 6 N per token trained and 2 N per token read, N = {sizes}" if sizes else "FLOPs unknown"
    longest = " or ".join(map(str, sorted(set(bounds))))
    bound = f" Rows are taken to be as long as prompt.max_tokens allows: {longest}." if longest else ""
    return f"{shared}: {tokens} tokens; {model}.{unknown}{bound}\n  {time}"


def estimate(
    root: Path,
    folder: Path,
    name: str,
    commit: str,
    experiments: list[Experiment],
    todo: list[Experiment],
    trials: Sequence[tuple[Experiment, str]] = (),
) -> str:
    """What running `todo` will cost, in words.

    Args:
        folder: of the sweep.
        experiments: all of the sweep; those not in `todo` are there.
        trials: that come before, each with the stage that it ends with.
    """
    to_run = {one.name for one in todo}
    known = known_of(root, [*experiments, *(trial for trial, _ in trials)], name, commit)
    work = {one.name: jobs(one.params, known[one.name]) for one in experiments}
    done = {key for one, own in work.items() if one not in to_run for key in own}
    new = {key: job for one in todo for key, job in work[one.name].items() if key not in done}
    for trial, stage in trials:
        new |= jobs(trial.params, known[trial.name], stage)
    took = read_json(folder / SECONDS) if (folder / SECONDS).exists() else {}
    ran = [one for one in took if one in work]
    before = total({key: job for one in ran for key, job in work[one].items()}.values())
    cost = total(new.values())
    time = hours(cost, len(todo) + len(trials), before if ran else None, [took[one] for one in ran])
    bounds = [one.params["prompt"]["max_tokens"] for one in todo if known[one.name].row_tokens is None]
    return said(cost, len(todo), len(trials), time, (job.parameters for job in new.values() if job.parameters), bounds)
