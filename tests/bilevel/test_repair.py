"""A misleading instruction is repaired: the model then trains as with the right one."""

from __future__ import annotations

from dataclasses import replace

import torch
from planted import SCHEDULE, SOLVE, fold_of, material_of, outer_loss_after, say_pool, silent, taught

from instune.bilevel.parameterizations.embedder_conversion import EmbedderConversion
from instune.bilevel.parameterizations.embedder_direct import EmbedderDirect
from instune.bilevel.schedule import Split

HORIZON = 20  # inner steps after which the outer loss is taken


class Bed:
    """A model that half knows what an instruction says, and the same tasks with right and with misleading instructions."""

    def __init__(self, tokenizer, model):
        taught(model, material_of(*say_pool(misleading=0), tokenizer, model), [f"task{n:02d}" for n in range(8, 16)], steps=80)
        self.right, self.wrong = (material_of(*say_pool(misleading=count), tokenizer, model) for count in (0, 8))
        names = list(self.right.tasks)
        self.model, self.split = model, Split(names[:8], names[8:12])
        self.start = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def fold(self, learnable, material):
        self.model.load_state_dict(self.start)
        return fold_of(self.model, material, learnable, self.split)

    def loss_with(self, learnable, material):
        """L_meta of the model trained with this instruction from the start."""
        fold = self.fold(learnable, material)
        fold.descend(replace(SCHEDULE, inner_steps=HORIZON, batch_size=32), 999, torch.optim.SGD(fold.theta, lr=0.01))
        return outer_loss_after(fold, 64)

    def repair(self, new, path, *, outer_steps, outer_learning_rate):
        """L_meta with the right, the misleading and the repaired instruction."""
        learnable = new(self.wrong)
        steps = {"batch_size": 16, "meta_batch_size": 16, "inner_learning_rate": 0.01, "outer_learning_rate": outer_learning_rate}
        schedule = replace(SCHEDULE, outer_steps=outer_steps, **steps)
        self.fold(learnable, self.wrong).optimize(schedule, SOLVE, checkpoint=path / "fold.pt", log=silent)
        right, wrong = self.loss_with(new(self.right), self.right), self.loss_with(new(self.wrong), self.wrong)
        assert wrong > 1.5 * right  # the misleading instruction does harm
        return right, wrong, self.loss_with(learnable, self.wrong)


def test_a_misleading_instruction_is_repaired_by_a_prompt_of_its_own(tokenizer, tiny_model, tmp_path):
    bed = Bed(tokenizer, tiny_model)

    def new(material):
        return EmbedderDirect(material, bed.split.train, tiny_model.device, soft_tokens=4, initial="definition")

    right, _, repaired = bed.repair(new, tmp_path, outer_steps=45, outer_learning_rate=0.005)
    assert repaired <= 1.05 * right


def test_one_linear_map_for_all_tasks_undoes_most_of_the_harm(tokenizer, tiny_model, tmp_path):
    bed = Bed(tokenizer, tiny_model)

    def new(material):
        return EmbedderConversion(material, bed.split.train, tiny_model.device, soft_tokens=16, source="definition")

    right, wrong, repaired = bed.repair(new, tmp_path, outer_steps=60, outer_learning_rate=0.002)
    assert wrong - repaired >= 0.75 * (wrong - right)
