"""One rank's part of hypergradients on a global batch, started by torchrun: `ranks_program.py OUT`.

Kinds are float64 (GPT-2), float32 (Llama) and sharded (Llama under FSDP). Rank 0 writes {kind: {product: hypergradient}} to OUT;
every rank checks that it holds the same bits, and that its part of the weights is as it was. Ranks have a GPU each where there
are enough, else the CPU.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from language_problems import SOFT_TOKENS, TASKS, batch_of, double_gpt2, rows_of, tiny_llama
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from instune.bilevel.hypergradient import hypergradient, products_by
from instune.bilevel.solvers.neumann import neumann
from instune.tuning.weighted_loss import WeightedLoss

KINDS = ("float64", "float32", "sharded")


def hypergradients(kind: str, rank: int, world: int, device: str) -> dict[str, torch.Tensor]:
    """By either product; each rank has every `world`-th row, with its share of the global denominator."""
    model = (double_gpt2() if kind == "float64" else tiny_llama()).to(device)
    whole = WeightedLoss(model)
    dtype = model.get_input_embeddings().weight.dtype
    prompts = torch.randn(len(TASKS), SOFT_TOKENS, model.get_input_embeddings().weight.shape[1], generator=torch.manual_seed(0))
    phi = prompts.to(device, dtype).requires_grad_()
    if kind == "sharded":
        mesh = init_device_mesh(device, (world,))
        for part in [*model.model.layers, whole]:  # the pass as a whole is the root: it calls the embeddings by themselves
            fully_shard(part, mesh=mesh)

    def loss(soft: int):
        rows = rows_of(model, soft=soft, seed=soft)
        own, share = rows[rank::world], sum(row.share for row in rows) / world  # the mean of the ranks' losses is the global one
        batch = {name: tensor.to(device) for name, tensor in batch_of(model, own).items()}
        if soft:
            batch["soft_embeddings"] = torch.cat([phi[TASKS.index(row.task_id)] for row in own])
            batch["soft_places"] = torch.arange(batch["input_ids"].shape[1], device=device).expand_as(batch["input_ids"]) < soft
        return whole(batch) / share

    theta, found = list(model.parameters()), {}
    before = [tensor.detach().clone() for tensor in theta]
    for product in ("central_difference",) if kind == "sharded" else ("central_difference", "double_backward"):
        solve = partial(neumann, terms=1, gamma=0.02)
        products = products_by(product, 3e-3)
        found[product] = hypergradient(
            lambda: loss(SOFT_TOKENS), lambda: loss(0), theta, [phi], products=products, solve=solve
        ).gradient[0]
    assert all(bool((a == b).all()) for a, b in zip(theta, before, strict=True))
    return found


def main(out: str) -> None:
    """Every kind; the group's size comes with the result."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.device_count() >= int(os.environ["WORLD_SIZE"]) else "cpu"
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if device == "cuda":
        torch.cuda.set_device(rank)
    result = {"world": world}
    for kind in KINDS:
        found = hypergradients(kind, rank, world, device)
        for tensor in found.values():
            first = tensor.clone()
            dist.broadcast(first, 0)
            assert torch.equal(first, tensor)
        result[kind] = {name: tensor.cpu() for name, tensor in found.items()}
    if rank == 0:
        torch.save(result, Path(out))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
