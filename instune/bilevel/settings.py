"""The section `optimize`: what is learned, how, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from instune.bilevel.parameterizations.extractor import Choice
from instune.bilevel.parameterizations.initial import Initial
from instune.bilevel.parameterizations.methods import METHODS
from instune.bilevel.parameterizations.source_text import Source
from instune.bilevel.parameterizations.source_vectors import ConvertBy
from instune.bilevel.schedule import InnerOptimizer
from instune.bilevel.solvers.named import SolverName
from instune.config import Section
from instune.models import Precision


class Embedder(Section):
    """Soft prompts."""

    soft_tokens: PositiveInt  # embeddings per instruction; of embedder_conversion: at most
    initial: Initial  # where embedder_direct starts: the definition's token embeddings, noise of their scale, frequent tokens
    source: Source  # what embedder_conversion converts: the definition, or another instance of the task
    convert_by: ConvertBy  # its vectors, before the map: token embeddings, or the frozen base model's last hidden states


class Extractor(Section):
    """Worked examples."""

    choose: Literal[
        "learned", "fixed", "random"
    ]  # fixed: the task's first candidates; random: drawn for every row; neither learns
    exemplars: NonNegativeInt  # worked examples in a prompt
    candidates: PositiveInt  # of each task, to choose from; a row's own instance is none
    max_tokens: PositiveInt  # longer examples are no candidates
    choice: Choice  # hard: the most probable candidate, with the softmax's gradient (straight-through); soft: their mixture
    temperature: PositiveFloat  # divides the logits
    gumbel: bool  # noise on the logits
    instruction: bool  # the human instruction stands in front; false with exemplars 0: no instruction at all

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.choose == "learned" and self.exemplars == 0:
            raise ValueError("exemplars: 0 is not allowed where choose is learned. Give 1 or more, or choose: fixed.")
        return self


class Lora(Section):
    """Adapters of the inner model."""

    rank: PositiveInt
    alpha: PositiveFloat


class OuterValidation(Section):
    """On tasks that neither level trains on."""

    rows: PositiveInt  # examples of held-out tasks, with human instructions
    every: PositiveInt  # outer steps
    patience: PositiveInt  # validations without a new best before a fold stops


class Optimize(Section):
    """The whole section."""

    method: Literal["human", "embedder_direct", "embedder_conversion", "extractor_direct", "extractor_conversion", "reweight"]
    keep_model: bool  # finetune starts from the model of the last step instead of base; of methods that run one fold
    folds: Annotated[int, Field(ge=2)]  # parts of the tasks: one is meta-test, one more validation where that is on
    outer_steps: PositiveInt  # per fold
    inner_steps: PositiveInt  # steps of the model after each outer step
    batch_size: PositiveInt  # examples of meta-train tasks, per outer and per inner step
    meta_batch_size: PositiveInt  # examples of meta-test tasks per outer step
    micro_batch_tokens: PositiveInt  # padded tokens per pass, bounds memory
    inner_optimizer: InnerOptimizer
    inner_learning_rate: PositiveFloat
    outer_learning_rate: PositiveFloat  # of Adam on the instruction parameters
    lora: Lora | None  # of the inner model; null: all its weights
    solver: SolverName
    terms: NonNegativeInt  # of neumann: K, so K + 1 terms; iterations of conjugate_gradient; steps of unrolled
    gamma: Literal["auto"] | PositiveFloat  # step of the series; auto: 1 / largest eigenvalue, estimated
    damping: NonNegativeFloat  # lambda of (H + lambda I), of neumann and conjugate_gradient
    product: Literal["central_difference", "double_backward"]
    difference_step: Literal["auto"] | PositiveFloat  # of central_difference: length of the perturbation; auto: found per fold
    precision: Precision
    attention: Literal["sdpa", "eager"]  # sdpa: where the architecture has it
    gradient_checkpointing: bool  # layers are computed again in each backward pass: memory of one layer for a third more time
    checked_batches: NonNegativeInt  # at the start, also by float32 double backward: the cosine is logged; 0: not
    checkpoint_every: PositiveInt  # outer steps
    validation: OuterValidation | None
    embedder: Embedder  # of embedder_direct and embedder_conversion
    extractor: Extractor  # of extractor_direct and extractor_conversion

    @model_validator(mode="after")
    def _one_model_to_keep(self) -> Self:
        given = self.method.startswith("extractor") and self.extractor.choose != "learned"
        if self.keep_model and (self.method == "human" or given or METHODS[self.method].per_task):
            several = (
                f"there is a model per fold with {self.method}" if self.method in METHODS and not given else "no model is trained"
            )
            raise ValueError(
                f"keep_model: true is not allowed here: {several}. Set it to false, or take embedder_conversion or "
                "extractor_conversion, which learn in one fold."
            )
        return self
