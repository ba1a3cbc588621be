import json
import shutil

import numpy as np
import pytest
from makers import make_example
from transformers import T5Config, T5ForConditionalGeneration

from instune.errors import InputError
from instune.models import save
from instune.records import write_examples, write_tasks
from instune.results import read_json
from instune.selection.choose import choose
from instune.selection.settings import Select
from instune.selection.table import read
from stages import embed_model

PARAMS = """
embed_model:
  kinds: %(kinds)s
  examples: %(examples)s
  batch_tokens: %(batch_tokens)s
  precision: float32
  gradient: {rank: 2, dimension: 128}
prompt:
  {template: plain, instruction_position: before, wording: any, exemplars: 0,
  max_instruction_tokens: 60, max_input_tokens: 60, max_tokens: %(limit)s}
targets: {by: tasks, values: [task7], examples_per_task: 2}
seed: %(seed)s
"""
BOTH = "[hidden_state, gradient]"


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tasks, examples = tiny_pool
    examples.append(make_example(tasks["task0"], 5, output="red " * 200))

    def run(kinds=BOTH, examples_per_task=3, batch_tokens=256, model=model_folder, **changes):
        values = {"kinds": kinds, "examples": examples_per_task, "batch_tokens": batch_tokens, "seed": 0, "limit": 150}
        text = PARAMS % (values | changes)
        (tmp_path / "params.yaml").write_text(text)
        write_tasks(tmp_path / "tasks.parquet", tasks.values())
        write_examples(tmp_path / "examples.parquet", examples)
        files = {name: tmp_path / f"{name}.parquet" for name in ("tasks", "examples")}
        out, report = tmp_path / "out" / "model_embeddings.parquet", tmp_path / "reports" / "embed_model.json"
        embed_model.main(**files, model=model, out=out, report=report)
        return out, report

    return run


def test_source_and_target_tasks_have_a_unit_vector_for_each_of_their_last_examples(run):
    out, report = run()
    expected = [("task0", 3), ("task0", 4)]  # its last example does not fit
    expected += [(f"task{task}", index) for task in (1, 2, 3, 4, 5, 7) for index in (2, 3, 4)]  # task6: neither source nor target
    for kind, width in (("hidden_state", 32), ("gradient", 128)):
        rows = read(out, kind)
        assert list(zip(rows.task_ids, rows.indices.tolist(), strict=True)) == expected
        assert rows.vectors.shape == (20, width)
        np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), 1, atol=1e-5)
    content = read_json(report)
    assert (content["tasks"], content["examples"], content["without_examples"]) == (7, 20, 0)
    assert sum(content["dropped"].values()) == 1
    weights = 2 * (4 * 32 * 32 + 3 * 32 * 128)
    assert content["flops"]["hidden_state"] == 2 * weights * content["tokens"]
    assert content["flops"]["gradient"] > 2 * content["flops"]["hidden_state"]


def test_no_kind_writes_an_empty_table_without_reading_the_model(run, tmp_path):
    out, report = run(kinds="[]", model=tmp_path / "nowhere")
    assert read(out, "hidden_state").task_ids == ()
    assert read_json(report) == {}


def test_a_kind_alone_gives_the_same_vectors(run):
    both = read(run()[0], "gradient")
    alone = read(run(kinds="[gradient]")[0], "gradient")
    assert alone.vectors.tobytes() == both.vectors.tobytes()
    assert read(run(kinds="[hidden_state]")[0], "gradient").task_ids == ()


def test_a_second_run_writes_the_same_bytes_with_and_without_cache(run, tmp_path, capsys):
    out, report = run()
    first = out.read_bytes(), report.read_bytes()
    capsys.readouterr()
    run()
    assert (out.read_bytes(), report.read_bytes()) == first
    assert capsys.readouterr().out.count(" 0 of 20 examples computed now") == 2
    shutil.rmtree(tmp_path / "cache")
    run()
    assert (out.read_bytes(), report.read_bytes()) == first


def test_the_batch_does_not_change_what_is_said_of_an_example(run):
    one, many = (read(run(kinds="[hidden_state]", batch_tokens=size)[0], "hidden_state").vectors for size in (1, 4096))
    np.testing.assert_allclose(one, many, atol=2e-6)


@pytest.mark.parametrize(
    ("kinds", "message"), [("[wording]", "embed_model.kinds.0: 'wording' is not allowed"), ("gradient", "embed_model.kinds")]
)
def test_an_unknown_kind_is_refused_and_leaves_nothing(run, tmp_path, kinds, message):
    with pytest.raises(InputError, match=message):
        run(kinds=kinds)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "reports").exists()


def test_an_encoder_decoder_model_describes_tasks_too(run, tmp_path, tokenizer):
    size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, **size)
    save(T5ForConditionalGeneration(config), tokenizer, tmp_path / "t5")
    out, _ = run(model=tmp_path / "t5")
    for kind, width in (("hidden_state", 32), ("gradient", 128)):
        vectors = read(out, kind).vectors
        assert vectors.shape == (20, width)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("method", "kind"), [("hidden_states", "hidden_state"), ("gradient", "gradient")])
def test_the_batch_does_not_change_what_is_selected(run, tiny_pool, method, kind):
    tasks, sources = tiny_pool[0], [f"task{number}" for number in range(6)]
    select = Select(
        method=method, aggregation="vote", top_k=6, max_target_wordings=None, per_category_cap=None, examples_per_task=None
    )
    chosen = []
    for batch_tokens in (1, 4096):
        rows = read(run(batch_tokens=batch_tokens)[0], kind)
        selection = choose(select, tasks=tasks, targets=["task7"], sources=sources, rows=rows, evaluated=2, seed=0)
        chosen.append([choice["task_id"] for choice in selection["targets"]["task7"]])
    assert chosen[0] == chosen[1]
    assert sorted(chosen[0]) == sources


def test_another_configuration_with_the_same_weights_is_computed_anew(run, tmp_path, model_folder):
    vectors = {kind: read(run()[0], kind).vectors for kind in ("hidden_state", "gradient")}
    shutil.copytree(model_folder, tmp_path / "other")
    place = tmp_path / "other" / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"hidden_act": "relu", "rms_norm_eps": 0.1}))
    out, _ = run(model=tmp_path / "other")
    other = {kind: read(out, kind).vectors for kind in vectors}
    assert all(not np.allclose(vectors[kind], other[kind], atol=1e-3) for kind in vectors)
    shutil.rmtree(tmp_path / "cache")
    run(model=tmp_path / "other")
    assert all(np.array_equal(read(out, kind).vectors, other[kind]) for kind in vectors)


def test_the_same_model_in_another_folder_is_known(run, tmp_path, model_folder, capsys):
    run()
    capsys.readouterr()
    shutil.copytree(model_folder, tmp_path / "copy")
    run(model=tmp_path / "copy")
    assert capsys.readouterr().out.count(" 0 of 20 examples computed now") == 2


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ("stages.embed_model.HIDDEN_STATE_VERSION", "hidden_state"),
        ("stages.embed_model.GRADIENT_VERSION", "gradient"),
        ("stages.embed_model.peft.__version__", "gradient"),
    ],
)
def test_another_version_of_a_method_is_computed_anew(run, monkeypatch, capsys, changed, anew):
    run()
    capsys.readouterr()
    monkeypatch.setattr(changed, "another")
    run()
    said = capsys.readouterr().out
    assert f"{anew}: 20 of 20 examples computed now" in said
    assert said.count(" 0 of 20 examples computed now") == 1


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_any_integer_is_a_seed(run, seed):
    first, other = (read(run(kinds="[gradient]", seed=number)[0], "gradient").vectors for number in (0, seed))
    np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-5)
    assert not np.allclose(first, other, atol=1e-2)


def test_truncated_examples_are_counted_per_kind(run, tiny_pool):
    tiny_pool[1].append(make_example(tiny_pool[0]["task1"], 5, text="blue " * 80))
    assert read_json(run()[1])["truncated"] == {"hidden_state": 1, "gradient": 1}


def test_kinds_for_which_every_example_is_dropped_are_refused_and_leave_nothing(run, tmp_path):
    with pytest.raises(InputError, match=r"none became a row \(row longer than max_tokens.*: 21\).\n  Raise prompt.max_tokens"):
        run(limit=3)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "reports").exists()
