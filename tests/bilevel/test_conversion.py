"""Instructions converted from text: what they are made of, that they serve every task, and what fine-tuning makes of them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from instune.bilevel.applied import applied
from instune.bilevel.artefact import Artefact
from instune.bilevel.instructions import Passes, batch_parts
from instune.bilevel.parameterizations.candidates import Candidate
from instune.bilevel.parameterizations.embedder_conversion import EmbedderConversion
from instune.bilevel.parameterizations.extractor_conversion import ExtractorConversion
from instune.records import Exemplar
from instune.tuning.rows import Counts, Shown

TRAIN = ["task0", "task1", "task2"]
CHOICE = {"candidates": 32, "max_tokens": 50, "choice": "hard", "temperature": 1.0, "gumbel": False, "instruction": True}


def embedder(material, source="definition", soft_tokens=40, tasks=TRAIN, convert_by="table"):
    settings = {"soft_tokens": soft_tokens, "source": source, "convert_by": convert_by}
    return EmbedderConversion(material, tasks, torch.device("cpu"), **settings)


@pytest.fixture
def encoding_material(material, tiny_model):
    """The material with a frozen copy of the model to read through."""
    return replace(material, encoder=deepcopy(tiny_model))


def test_at_the_start_a_converted_definition_gives_the_loss_of_its_text(material, draws, tiny_model):
    learnable = embedder(material)
    rows = draws(learnable.show).batch(TRAIN, 4, "start")
    texts = draws().builder
    texts.prompt = texts.prompt.model_copy(update={"wording": "definition"})
    plain = [texts.build(learnable.by_id[row.task_id, row.example_id], Counts()) for row in rows]
    passes = Passes(material.tokenizer.pad_token_id)
    loss = sum(batch_parts(tiny_model, rows, passes, lambda part: learnable.terms(rows, part, tiny_model, seed=0)))
    assert loss.item() == pytest.approx(sum(batch_parts(tiny_model, plain, passes)).item(), rel=1e-5)


def test_the_map_is_linear_in_the_frozen_table_whatever_the_model_becomes(material, draws, tiny_model):
    learnable = embedder(material)
    weight, bias = torch.randn(32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(32.0)
    learnable.load([weight, bias])
    example = material.examples["task0"][0]
    ids = torch.tensor(material.ids(material.tasks["task0"].definition))
    expected = material.table[ids] @ weight.T + bias
    with torch.no_grad():
        tiny_model.get_input_embeddings().weight.zero_()
    assert torch.allclose(learnable.converted(example), expected, atol=1e-6)


def test_the_text_of_an_instance_is_never_the_rows_own_and_texts_are_cut(material):
    learnable = embedder(material, "instance", soft_tokens=12)
    for example in material.examples["task0"]:
        shown = learnable.show(material.tasks["task0"], example).soft_tokens
        ids = learnable._ids(material.tasks["task0"], example)
        assert shown == len(ids) <= 12
        whole = material.ids(f"Input: {example.input}\nOutput: {example.references[0]}")[:12]
        assert ids != whole
    alone = {"task0": material.examples["task0"][:1]}
    single = embedder(type(material)(**vars(material) | {"examples": material.examples | alone}), "instance")
    assert single.show(material.tasks["task0"], alone["task0"][0]) == Shown()


def test_an_encoder_reads_the_text_in_context_with_the_models_own_frozen_weights(encoding_material, tiny_model):
    learnable = embedder(encoding_material, convert_by="encoder")
    weight, bias = torch.randn(32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(32.0)
    learnable.load([weight, bias])
    example, known = encoding_material.examples["task0"][0], encoding_material
    ids = known.ids(known.tasks["task0"].definition)
    with torch.no_grad():
        states = tiny_model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
        for parameter in tiny_model.parameters():
            parameter.zero_()
    found = learnable.converted(example)
    lengths = known.table.norm(dim=-1).mean()
    assert torch.allclose(found, F.linear(F.normalize(states, dim=-1) * lengths, weight, bias), atol=1e-5)
    found.sum().backward()
    assert all(tensor.grad is not None for tensor in learnable.phi)
    assert all(parameter.grad is None for parameter in known.encoder.parameters())


def test_an_encoders_map_starts_near_the_texts_own_embeddings_and_the_same_for_any_tasks(encoding_material):
    learnable, known = embedder(encoding_material, convert_by="encoder"), encoding_material
    for task_id in known.tasks:
        wanted = known.table[torch.tensor(known.ids(known.tasks[task_id].definition))]
        mapped = F.linear(learnable.vectors(known.ids(known.tasks[task_id].definition)), *learnable.phi)
        identity = learnable.vectors(known.ids(known.tasks[task_id].definition))
        assert (mapped - wanted).norm() < 0.1 * (identity - wanted).norm()
    others = embedder(encoding_material, tasks=["task5"], convert_by="encoder")
    assert all(torch.equal(a, b) for a, b in zip(learnable.phi, others.phi, strict=True))


@pytest.mark.parametrize("source", ["definition", "instance"])
@pytest.mark.parametrize("convert_by", ["table", "encoder"])
def test_finetune_makes_the_same_embeddings_from_the_artefact_for_tasks_that_no_fold_trained_on(
    encoding_material, draws, source, convert_by
):
    material = encoding_material
    learnable = embedder(material, source, tasks=[*TRAIN, "task5"], convert_by=convert_by)
    learnable.load([torch.randn(32, 32, generator=torch.Generator().manual_seed(0)), torch.ones(32)])
    use = applied(
        Artefact("embedder_conversion", "a", learnable.task_ids, learnable.tensors(), learnable.settings()), lambda: material
    )
    for row in draws(use.show).batch(["task0", "task5"], 6, "finetune"):
        example = learnable.by_id[row.task_id, row.example_id]
        assert row.soft[1] == len(use.soft(row))
        assert torch.equal(use.soft(row), learnable.converted(example))
    assert use.show(material.tasks["task4"], material.examples["task4"][0]) == Shown()


def test_a_bilinear_score_chooses_by_the_rows_input_and_never_its_own_instance(material):
    learnable = ExtractorConversion(material, TRAIN, torch.device("cpu"), exemplars=1, **CHOICE)
    learnable.load([torch.eye(32)[None]])
    example = material.examples["task0"][0]
    known = learnable.known["task0"].candidates
    query = learnable._unit(example.input)
    scores = torch.stack(
        [query @ learnable._unit(f"\n\nInput: {one.exemplar.input}\nOutput: {one.exemplar.output}") for one in known]
    )
    assert torch.allclose(learnable.logits("task0", example)[0], scores, atol=1e-6)
    best = max((float(score), place) for place, score in enumerate(scores) if known[place].may_serve(example))
    assert learnable.picked("task0", example) == [best[1]]


def test_finetune_shows_the_exemplars_that_were_chosen_for_each_example(material):
    learnable = ExtractorConversion(material, TRAIN, torch.device("cpu"), exemplars=2, **CHOICE)
    learnable.load([torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(3)) * 50])
    use = applied(
        Artefact("extractor_conversion", "a", learnable.task_ids, learnable.tensors(), learnable.settings()), lambda: material
    )
    for example in material.examples["task1"]:
        shown = use.show(material.tasks["task1"], example).exemplars
        wanted = [learnable.known["task1"].candidates[place] for place in learnable.picked("task1", example)]
        assert shown == tuple(one.exemplar for one in wanted)
        assert len(set(shown)) == 2
        assert all(one.may_serve(example) for one in wanted)
    shares = learnable.settings()["candidates"]["task1"]
    assert sum(one["probability"][1] for one in shares) == pytest.approx(1.0, abs=1e-4)
    assert Candidate("x", Exemplar("y", "z")).may_serve(example)
