"""The bilevel problem of the cost benchmark, and the ways to its hypergradient: ours, betty-ml's and torchopt's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from instune.bilevel.hypergradient import Product, products_by
from instune.bilevel.solvers.named import SOLVERS, SolverName, SolverSettings
from instune.bilevel.vectors import Vector
from instune.models import autocast, load_model, pick_device
from instune.tuning.weighted_loss import WeightedLoss

BATCH, LENGTH, OUTPUT, SOFT = 8, 80, 16, 16
GAMMA, STEP = 0.01, 3e-3
LARGE_GAMMA, LARGE_STEP = 1e-3, 1e-3  # where a model folder is given: below 1 / its largest eigenvalue; what a run chooses there


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
        self.gamma, self.step = (GAMMA, STEP) if folder is None else (LARGE_GAMMA, LARGE_STEP)
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
        settings = SolverSettings(products_by(product, self.step), terms, gamma=self.gamma, damping=DAMPING.get(solver, 0.0))
        return SOLVERS[solver](settings)(self.inner, self.outer, self.theta, [self.phi]).gradient

    def betty(self, kind: str, terms: int) -> Vector:
        """betty-ml's own functions on two problems of its interface; its `darts` leaves theta moved (seen in 0.1.1)."""
        from betty.hypergradient import get_grads

        before = [tensor.detach().clone() for tensor in self.theta]
        config = SimpleNamespace(type=kind, neumann_iterations=terms, neumann_alpha=self.gamma, darts_alpha=self.step)
        lower = SimpleNamespace(config=config, paths=[], cur_batch=None, training_step_exec=lambda batch: self.inner())
        lower.trainable_parameters = lambda: self.theta
        upper = SimpleNamespace(trainable_parameters=lambda: [self.phi])
        found = get_grads(self.outer(), [upper, lower, upper], retain_graph=False)
        with torch.no_grad():
            torch._foreach_copy_(self.theta, before)
        return tuple(tensor * (self.gamma if kind == "darts" else 1.0) for tensor in found)

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

        solve = torchopt.linear_solve.solve_inv(ns=True, maxiter=terms, alpha=self.gamma)
        root = torchopt.diff.implicit.custom_root(slope, argnums=1, solve=solve)
        solved = root(lambda theta, phi: tuple(tensor.detach() for tensor in theta))(tuple(self.theta), self.phi)
        state = {f"model.{name}": value for name, value in zip(names, solved, strict=True)}
        outer = torch.func.functional_call(self.loss_of, state, (self.rows[1],)) / (BATCH * OUTPUT)
        return torch.autograd.grad(outer, [self.phi])


def in_bfloat16(call: Callable[[Work], Vector]) -> Callable[[Work], Vector]:
    """The same with bfloat16 matrix products; no product there perturbs weights, so the cache of casts does no harm."""

    def run(work: Work) -> Vector:
        with autocast(work.phi.device, "bfloat16"):
            return call(work)

    return run


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
    "plain step, bfloat16": in_bfloat16(Work.plain_step),
    "neumann K=1, double_backward, bfloat16": in_bfloat16(
        partial(Work.ours, solver="neumann", product="double_backward", terms=1)
    ),
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
