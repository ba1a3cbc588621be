"""Measure every product and precision of hypergradients against double backward in float32, on a causal model and real rows.

Not a stage: `python -m tools.hypergradient_accuracy --tasks data/pool/tasks.parquet --examples data/pool/examples.parquet --model
data/models/base --out reports/hypergradient_accuracy.json`. Soft prompts of the source tasks, identity (K = 0) and Neumann series
with K = 1, gamma 1 / the largest eigenvalue of the first batch. Half an hour for 135 million parameters on two cores.

Reads:  params.yaml (targets, seed); the pool; the model
Writes: <out>: {"batches", "batch_size", "gamma", "difference_step", "between": {K: [cosine of two batches' exact ones, ...]},
        "settings": [{"terms", "product", "precision", "step", "cosines": [...], "ratios": [...]}, ...]}
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import torch
from tqdm import tqdm

from instune import config
from instune.bilevel.agreement import Batches, compared, exact_hypergradient
from instune.bilevel.batches import Draws, split_folds
from instune.bilevel.curvature import natural_step
from instune.bilevel.gradients import Loss, gradient
from instune.bilevel.hypergradient import Product, products_by
from instune.bilevel.instructions import Passes
from instune.bilevel.loop import Fold
from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.embedder_direct import EmbedderDirect
from instune.bilevel.products import CentralDifference
from instune.bilevel.schedule import Split
from instune.bilevel.solvers.named import SOLVERS, SolverSettings
from instune.bilevel.step_size import choose_step
from instune.bilevel.vectors import Vector
from instune.errors import InputError
from instune.models import Precision as ModelPrecision
from instune.models import load_model, load_tokenizer
from instune.prompts import Prompt, load_template
from instune.records import Example, Task, read_examples, read_tasks
from instune.results import write_json
from instune.targets import Targets, source_tasks
from instune.tuning.labels import loss_weights
from instune.tuning.rows import RowBuilder, Show, show_human

Precision = Literal["float32", "tf32", "bfloat16"]
PROMPT = Prompt(template="chat", wording="any", exemplars=0, max_instruction_tokens=64, max_input_tokens=64, max_tokens=192)
SOFT_TOKENS = 16
TASKS = 8  # half of them have soft prompts
TERMS = (0, 1)
STEPS: dict[Precision, tuple[float, ...]] = {"float32": (3e-3, 1e-2), "tf32": (1e-2, 3e-2), "bfloat16": (1e-1, 3e-1)}


@dataclass(frozen=True)
class Setting:
    """A product in a precision; a step of None: of the whole gradient's graph there is none."""

    product: Product
    precision: Precision
    step: float | None

    def __str__(self) -> str:
        return f"{self.product} {self.precision}" + ("" if self.step is None else f" step {self.step:g}")


def settings_of(device: torch.device, chosen: float) -> list[Setting]:
    """All settings of this device; `chosen` is the difference step that a run finds for itself."""
    precisions = ["float32", "bfloat16"] if device.type == "cpu" else ["float32", "tf32", "bfloat16"]
    found = [Setting("double_backward", precision, None) for precision in precisions if precision != "float32"]
    for precision in precisions:
        steps = {*STEPS[precision], *([chosen] if precision == "float32" else [])}
        found += [Setting("central_difference", precision, step) for step in sorted(steps)]
    return found


@contextmanager
def matrix_products(precision: Precision) -> Iterator[None]:
    """float32 products by TF32, or exact; bfloat16 is the passes' own matter."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def material_of(tasks: Path, examples: Path, model: Path, table: torch.Tensor) -> Material:
    """Some of the source tasks that have examples and a definition: so few that batches share tasks, as in a run on chosen ones.

    Hypergradients of batches without a common task are orthogonal, whatever the noise.
    """
    values = config.load({"targets": Targets, "seed": int})
    pool = read_tasks(tasks)
    by_task: dict[str, list[Example]] = {}
    for example in read_examples(examples, source_tasks(pool, values["targets"])):
        by_task.setdefault(example.task_id, []).append(example)
    named = [name for name in sorted(by_task) if pool[name].definition.strip()]
    drawn = sorted(random.Random(str((values["seed"], "accuracy"))).sample(named, min(TASKS, len(named))))
    known: dict[str, Task] = {name: pool[name] for name in drawn}
    tokenizer = load_tokenizer(model)
    return Material(known, by_task, tokenizer, table, load_template(PROMPT.template, tokenizer), PROMPT, values["seed"])


def folds_of(material: Material, model: torch.nn.Module) -> dict[Precision, Fold]:
    """Half of the tasks with soft prompts, the other half for the outer loss: the same rows and the same phi in any precision."""

    def draws(show: Show) -> Draws:
        common = {"weights": loss_weights("it"), "normalize_by": "weights", "seed": material.seed, "show": show}
        builder = RowBuilder(material.tasks, material.tokenizer, material.template, material.prompt, **common)
        return Draws(builder, material.examples, seed=material.seed)

    train, test = split_folds(list(material.tasks.values()), 2, seed=material.seed)
    learnable = EmbedderDirect(material, train, model.device, soft_tokens=SOFT_TOKENS, initial="definition")
    common = {"inner": draws(learnable.show), "human": draws(show_human), "split": Split(train, test), "name": "accuracy"}

    def fold(precision: ModelPrecision) -> Fold:
        return Fold(model, learnable, passes=Passes(material.tokenizer.pad_token_id, precision=precision), **common)

    exact, narrow = fold("float32"), fold("bfloat16")
    return {"float32": exact, "tf32": exact, "bfloat16": narrow}


def exact_and_settings(
    folds: dict[Precision, Fold], fixed: SolverSettings, plan: Sequence[Setting], *, batches: int, batch_size: int
) -> Iterator[Vector]:
    """The exact hypergradient of every batch, then those of every setting in turn; on the CPU."""
    fold = folds["float32"]
    theta, phi = fold.theta, fold.phi

    def losses(precision: Precision, number: int) -> tuple[Loss, Loss]:
        return folds[precision].inner_loss(batch_size, number), folds[precision].outer_loss(batch_size, number)

    for number in range(batches):
        pair = losses("float32", number)
        found = exact_hypergradient(Batches(*pair, *pair), theta, phi, solver="neumann", settings=fixed)
        yield tuple(tensor.cpu() for tensor in found)
    for setting in plan:
        method = SOLVERS["neumann"](replace(fixed, products=products_by(setting.product, setting.step)))
        for number in range(batches):
            with matrix_products(setting.precision):
                found = method(*losses(setting.precision, number), theta, phi).gradient
            yield tuple(tensor.cpu() for tensor in found)


def measure(folds: dict[Precision, Fold], *, batches: int, batch_size: int) -> dict[str, Any]:
    """Every setting on every batch."""
    fold = folds["float32"]
    inner, outer = fold.inner_loss(batch_size, 0), fold.outer_loss(batch_size, 0)
    step, change = choose_step(inner, outer, fold.theta, fold.phi)
    gamma = natural_step(CentralDifference(inner, fold.theta, fold.phi, step=step).hessian, gradient(outer, fold.theta)[1])
    plan, rows, between = settings_of(fold.model.device, step), [], {}
    with tqdm(total=len(TERMS) * batches * (len(plan) + 1), unit="hypergradient") as progress:
        for terms in TERMS:
            fixed, found = SolverSettings(products_by("double_backward", None), terms, gamma=gamma), []
            for one in exact_and_settings(folds, fixed, plan, batches=batches, batch_size=batch_size):
                found.append(one)
                progress.update()
            exact = found[:batches]
            between[str(terms)] = compared(exact, exact, gamma).between
            for number, setting in enumerate(plan, 1):
                agreed = compared(found[number * batches : (number + 1) * batches], exact, gamma)
                rows.append({"terms": terms, **asdict(setting), "cosines": agreed.cosines, "ratios": agreed.ratios})
    facts = {"batches": batches, "batch_size": batch_size, "gamma": gamma, "difference_step": step, "step_change": change}
    return facts | {"between": between, "settings": rows}


def table_of(result: dict[str, Any]) -> str:
    """A line per setting: smallest and mean cosine, mean norm ratio; the noise between batches at the head of each K."""
    lines = []
    for terms in TERMS:
        noise = result["between"][str(terms)]
        lines.append(f"K = {terms}: cosine of two independent batches {mean(noise):.4f} ({min(noise):.4f} to {max(noise):.4f})")
        for row in result["settings"]:
            if row["terms"] == terms:
                name = str(Setting(row["product"], row["precision"], row["step"]))
                cosines, ratio = row["cosines"], mean(row["ratios"])
                lines.append(f"  {name:44} cosine {min(cosines):.5f} at least, {mean(cosines):.5f}; norm ratio {ratio:.4f}")
    return "\n".join(lines)


def main(*, tasks: Path, examples: Path, model: Path, out: Path, batches: int, batch_size: int) -> None:
    """Measure, write and print."""
    if batches < 2:
        raise InputError(f"--batches: {batches} is too few: 2 at least, for the cosine between batches.")
    net = load_model(model)
    net.requires_grad_(True)
    table = net.get_input_embeddings().weight.detach().float().cpu().clone()
    result = measure(folds_of(material_of(tasks, examples, model, table), net), batches=batches, batch_size=batch_size)
    write_json(out, result)
    print(f"{table_of(result)}\n{out} written")


def command(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("tasks", "examples", "model", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=5, help="batches to measure on (default 5)")
    parser.add_argument("--batch-size", type=int, default=8, help="examples of each level per batch (default 8)")
    try:
        main(**vars(parser.parse_args(arguments)))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    command()
