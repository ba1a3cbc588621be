"""One outer step beside one plain fine-tuning step: time and peak memory of every solver and product, ours and the peers'.

Writes reports/benchmarks/hypergradient.json; times are multiples of a plain step (AdamW, torch's fused attention) on a batch of
the same size. The cases take turns in one process and the shortest of the repeats counts: processor time of one thread on a CPU.
Each peak memory is that of a process of its own, above its imports. Peers on the same problem: betty-ml and torchopt, which need
eager attention; and double backward with eager attention, the reference implementation's way. Results are checked to be equal.
Floor by counting passes: 4.3 plain gradients for K = 1 by central differences (1 + 2 + 2 without weight gradients), 2.3 for
the identity.

    pip install -r requirements-bench.txt
    python -m tests.benchmarks.hypergradient [--model data/models/base]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from instune.bilevel.hypergradient import Product, products_by
from instune.bilevel.solvers.named import SOLVERS, SolverName, SolverSettings
from instune.bilevel.vectors import Vector, cosine, norm, plus
from instune.models import load_model, pick_device
from instune.results import write_json
from instune.tuning.train import WeightedLoss

BATCH, LENGTH, OUTPUT, SOFT = 8, 80, 16, 16
GAMMA, STEP = 0.01, 3e-3
REPEATS = 5
OUT = Path("reports/benchmarks/hypergradient.json")


def small_model(attention: str) -> PreTrainedModel:
    """A Llama of 5 million parameters."""
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=4_000, **sizes, tie_word_embeddings=True, attn_implementation=attention)
    return LlamaForCausalLM(config).eval()


class Work:
    """A soft prompt in the inner loss, plain rows in the outer one, random tokens; theta is the whole model."""

    def __init__(self, folder: Path | None, attention: str) -> None:
        self.model = small_model(attention) if folder is None else load_model(folder, attention=attention)
        self.model.to(pick_device()).eval()
        self.theta = list(self.model.parameters())
        table = self.model.get_input_embeddings().weight
        draw = torch.Generator().manual_seed(1)
        noise = torch.randn(SOFT, table.shape[1], generator=draw)
        self.phi = (noise * table.detach().std().cpu()).to(table.device).requires_grad_()
        self.rows = [self._batch(len(table), soft, draw) for soft in (SOFT, 0)]
        self.loss_of = WeightedLoss(self.model)
        self.optimizer = torch.optim.AdamW(self.theta, lr=0.0)  # each step costs what it costs and changes nothing

    def _batch(self, vocabulary: int, soft: int, draw: torch.Generator) -> dict[str, Tensor]:
        ids = torch.randint(vocabulary, (BATCH, LENGTH), generator=draw)
        labels, weights = torch.full_like(ids, -100), torch.zeros(BATCH, LENGTH)
        labels[:, -OUTPUT - 1 : -1] = ids[:, -OUTPUT:]
        weights[:, -OUTPUT - 1 : -1] = 1.0
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "loss_weights": weights}
        if soft:
            places = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
            places[:, :soft] = True
            batch["soft_places"] = places
        return {name: tensor.to(self.phi.device) for name, tensor in batch.items()}

    def inner(self, phi: Tensor | None = None) -> Tensor:
        prompts = (self.phi if phi is None else phi).repeat(BATCH, 1)
        return self.loss_of(self.rows[0] | {"soft_embeddings": prompts}) / (BATCH * OUTPUT)

    def outer(self) -> Tensor:
        return self.loss_of(self.rows[1]) / (BATCH * OUTPUT)

    def plain_step(self) -> Vector:
        """One step of fine-tuning on rows as long as those of the inner loss."""
        self.inner(self.phi.detach()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return ()

    def plain_gradient(self) -> Vector:
        return torch.autograd.grad(self.inner(self.phi.detach()), self.theta)

    def ours(self, solver: SolverName, product: Product, terms: int) -> Vector:
        settings = SolverSettings(products_by(product, STEP), terms, gamma=GAMMA, damping=DAMPING.get(solver, 0.0))
        return SOLVERS[solver](settings)(self.inner, self.outer, self.theta, [self.phi]).gradient

    def betty(self, kind: str, terms: int) -> Vector:
        """betty-ml's own functions on two problems of its interface; its `darts` leaves theta moved (seen in 0.1.1)."""
        from betty.hypergradient import get_grads

        before = [tensor.detach().clone() for tensor in self.theta]
        config = SimpleNamespace(type=kind, neumann_iterations=terms, neumann_alpha=GAMMA, darts_alpha=STEP)
        lower = SimpleNamespace(config=config, paths=[], cur_batch=None, training_step_exec=lambda batch: self.inner())
        lower.trainable_parameters = lambda: self.theta
        upper = SimpleNamespace(trainable_parameters=lambda: [self.phi])
        found = get_grads(self.outer(), [upper, lower, upper], retain_graph=False)
        with torch.no_grad():
            torch._foreach_copy_(self.theta, before)
        return tuple(tensor * (GAMMA if kind == "darts" else 1.0) for tensor in found)

    def torchopt(self, terms: int) -> Vector:
        """torchopt's implicit differentiation of a solver that returns theta as it is, by its Neumann series."""
        import torchopt

        names = [name for name, _ in self.model.named_parameters()]

        def slope(theta: tuple[Tensor, ...], phi: Tensor) -> tuple[Tensor, ...]:
            def loss(*values: Tensor) -> Tensor:
                state = {f"model.{name}": value for name, value in zip(names, values, strict=True)}
                rows = self.rows[0] | {"soft_embeddings": phi.repeat(BATCH, 1)}
                return torch.func.functional_call(self.loss_of, state, (rows,)) / (BATCH * OUTPUT)

            return torch.func.grad(loss, argnums=tuple(range(len(theta))))(*theta)

        solve = torchopt.linear_solve.solve_inv(ns=True, maxiter=terms, alpha=GAMMA)
        root = torchopt.diff.implicit.custom_root(slope, argnums=1, solve=solve)
        solved = root(lambda theta, phi: tuple(tensor.detach() for tensor in theta))(tuple(self.theta), self.phi)
        state = {f"model.{name}": value for name, value in zip(names, solved, strict=True)}
        outer = torch.func.functional_call(self.loss_of, state, (self.rows[1],)) / (BATCH * OUTPUT)
        return torch.autograd.grad(outer, [self.phi])


DAMPING: dict[SolverName, float] = {"conjugate_gradient": 100.0}
OURS = "neumann K=1, central_difference"
FUSED: dict[str, Callable[[Work], Vector]] = {
    "plain step": Work.plain_step,
    "plain gradient": Work.plain_gradient,
    "identity, central_difference": partial(Work.ours, solver="identity", product="central_difference", terms=0),
    OURS: partial(Work.ours, solver="neumann", product="central_difference", terms=1),
    "neumann K=3, central_difference": partial(Work.ours, solver="neumann", product="central_difference", terms=3),
    "conjugate_gradient 2, central_difference": partial(
        Work.ours, solver="conjugate_gradient", product="central_difference", terms=2
    ),
    "identity, double_backward": partial(Work.ours, solver="identity", product="double_backward", terms=0),
    "neumann K=1, double_backward": partial(Work.ours, solver="neumann", product="double_backward", terms=1),
    "neumann K=3, double_backward": partial(Work.ours, solver="neumann", product="double_backward", terms=3),
    "conjugate_gradient 2, double_backward": partial(Work.ours, solver="conjugate_gradient", product="double_backward", terms=2),
    "unrolled 2": partial(Work.ours, solver="unrolled", product="double_backward", terms=2),
}
EAGER: dict[str, Callable[[Work], Vector]] = {
    "betty-ml darts": partial(Work.betty, kind="darts", terms=0),
    "betty-ml neumann K=1": partial(Work.betty, kind="neumann", terms=1),
    "torchopt neumann K=1": partial(Work.torchopt, terms=1),
    "double backward, eager attention, K=1": FUSED["neumann K=1, double_backward"],
}
PEERS = [name for name in EAGER if "K=1" in name]
SAME_AS = {  # what is one hypergradient by several ways
    "neumann K=1, double_backward": [OURS, *PEERS],
    "identity, double_backward": ["identity, central_difference", "betty-ml darts"],
    "neumann K=3, double_backward": ["neumann K=3, central_difference"],
    "conjugate_gradient 2, double_backward": ["conjugate_gradient 2, central_difference"],
}
LARGE = ("K=3", "conjugate_gradient", "unrolled")  # left out where a model folder is given


def cases(folder: Path | None) -> dict[str, tuple[str, Callable[[Work], Vector]]]:
    """Name -> attention and call."""
    found = {name: ("sdpa", call) for name, call in FUSED.items()} | {name: ("eager", call) for name, call in EAGER.items()}
    return {name: case for name, case in found.items() if folder is None or not any(word in name for word in LARGE)}


def clock() -> float:
    """Seconds: of the processor on a CPU, of the wall where a GPU has to finish first."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return perf_counter()
    return process_time()


def times(folder: Path | None, repeats: int) -> tuple[dict[str, float], dict[str, Vector]]:
    """Shortest seconds and the hypergradient of every case; the cases take turns."""
    works = {attention: Work(folder, attention) for attention in ("sdpa", "eager")}
    seconds, found = {}, {}
    for repeat in tqdm(range(repeats + 1), unit="round"):
        for name, (attention, call) in cases(folder).items():
            start = clock()
            found[name] = call(works[attention])
            took = clock() - start
            if repeat:  # the first round warms up
                seconds[name] = min(seconds.get(name, took), took)
    return seconds, found


def peak_megabytes(name: str, folder: Path | None) -> float:
    """Above its imports, of a process that loads the model and runs one case twice."""
    command = [sys.executable, "-m", "tests.benchmarks.hypergradient", "--case", name]
    done = subprocess.run(command + (["--model", str(folder)] if folder else []), check=True, capture_output=True, text=True)
    return float(done.stdout)


def run_case(name: str, folder: Path | None) -> None:
    """What `peak_megabytes` measures."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attention, call = cases(folder)[name]
    work = Work(folder, attention)
    for _ in range(2):
        call(work)
    if torch.cuda.is_available():
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)


def agreement(found: dict[str, Vector]) -> str:
    """Cosines of what has to be equal; central differences within 1e-3, double backward within 1e-5 of the cosine 1.

    Raises:
        AssertionError: two ways to one hypergradient that disagree.
    """
    said = []
    for exact, others in SAME_AS.items():
        for other in others:
            if exact in found and other in found:
                value = cosine(found[other], found[exact])
                gap = norm(plus(found[other], found[exact], -1.0)) / norm(found[exact])
                tolerance = 3e-2 if "central" in other or "darts" in other else 1e-3
                assert gap < tolerance, (other, exact, gap, value)
                said.append(f"{other}: {gap:.1e}")
    return "relative distance to double backward with plain attention: " + "; ".join(said)


def main() -> None:
    """Measure time, then memory, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a causal model; default: 5 million random parameters")
    parser.add_argument("--case", help="measure the memory of this case alone")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.case:
        return run_case(options.case, options.model)
    missing = [name for name in ("betty", "torchopt") if find_spec(name) is None]
    if missing:
        sys.exit(f"error: {', '.join(missing)} not installed. Run `pip install -r requirements-bench.txt`.")
    seconds, found = times(options.model, options.repeats)
    memory = {name: peak_megabytes(name, options.model) for name in tqdm(seconds, desc="memory", unit="case")}
    step, room = seconds["plain step"], memory["plain step"]
    table = {
        name: {
            "milliseconds": round(1000 * seconds[name], 1),
            "plain_steps": round(seconds[name] / step, 2),
            "megabytes": round(memory[name]),
            "times_its_memory": round(memory[name] / room, 2),
        }
        for name in seconds
    }
    peers = {name: table[name]["plain_steps"] for name in PEERS}
    result = {
        "name": "hypergradient",
        "unit": "plain fine-tuning steps",
        "ours": table[OURS]["plain_steps"],
        "peers": peers,
        "ratio": round(seconds[OURS] / min(seconds[name] for name in peers), 3),
        "checked": agreement(found),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}",
        "repeats": options.repeats,
        "size": f"{options.model or '5 million random parameters'}, batch {BATCH} x {LENGTH}, float32",
        "cases": table,
    }
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
