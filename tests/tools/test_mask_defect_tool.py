"""Role markers under Eq. 4 and under the published script, and what is left of a gradient: against text, and closed forms."""

from __future__ import annotations

import json

import pytest
import torch

from instune.errors import InputError
from instune.records import Example, Message, Task
from instune.results import read_json
from instune.scratch_model import new_model
from tools.mask_defect.__main__ import divergences, main, read_sets
from tools.mask_defect.divergence import gradient_norms
from tools.mask_defect.markers import llama_like, marker_places, rows_under, shares

TASK = Task("chat:a", "chat", "chat", "", ("",))
TURNS = ("user", "Is <|user|> red?"), ("assistant", "yes it is"), ("user", "Why?"), ("assistant", "it is")


def talk(*turns: tuple[str, str]) -> Example:
    messages = tuple(Message(role, text) for role, text in turns)
    return Example("chat:a", "1", messages[-2].content, (messages[-1].content,), messages=messages)


@pytest.fixture(scope="module")
def llama():
    return llama_like(["Is it red? yes it is\nno it is not red", "user assistant Why?"] * 5, 400)


def texts(row, tokenizer, chosen) -> str:
    return tokenizer.decode([row.input_ids[place] for place in chosen])


def test_the_llama_like_tokenizer_begins_a_text_as_llama_does(llama):
    alone = llama.convert_ids_to_tokens(llama("<|user|>\n")["input_ids"])
    assert alone[0] == "<s>"
    assert alone[1].startswith("\u2581")
    inside = llama.convert_ids_to_tokens(llama("a\n<|user|>\n")["input_ids"])
    assert [token.startswith("\u2581") for token in inside[1:]] == [True, *[False] * (len(inside) - 2)]  # of `a` alone
    assert llama.decode(llama("yes Ü \u4e2d", add_special_tokens=False)["input_ids"]) == "yes Ü \u4e2d"


def test_markers_are_the_templates_own_alone(llama):
    row = rows_under("im", {"chat:a": TASK}, [talk(*TURNS)], llama)[0]
    said = texts(row, llama, marker_places(row, llama)).replace(" ", "")
    assert said == "<|user|>\n\n<|assistant|>\n\n<|user|>\n\n<|assistant|>\n"  # not the one that the user wrote


def test_eq_4_gives_markers_no_loss_and_the_script_all_but_the_first(llama):
    examples = [talk(*TURNS)]
    rows = {mask: rows_under(mask, {"chat:a": TASK}, examples, llama) for mask in ("im", "released_im")}
    row = rows["released_im"][0]
    free = [place for place in marker_places(row, llama) if not row.loss_weights[place]]
    assert texts(row, llama, free).strip() == "<|user|>"
    found = shares(rows, llama)
    count = len(marker_places(row, llama))
    assert found["share_with_loss"] == {"im": 0.0, "released_im": pytest.approx((count - len(free)) / count)}
    assert (found["rows"], found["marker_tokens"]) == (1, count)


def test_the_released_penalty_leaves_one_minus_lambda_of_the_gradient(llama):
    found = divergences(llama, [talk(("user", "Is it red? " * 60), ("assistant", "yes"))])
    for row in found:
        assert row["released"] == pytest.approx((1 - row["lambda"]) * found[0]["released"], rel=1e-6, abs=1e-12)
    assert found[-1]["lambda"] == 1
    assert found[-1]["released"] < 1e-12
    assert found[-1]["true"] > 0.1 * found[0]["true"]


def test_the_true_divergence_has_no_gradient_at_the_base_model(llama):
    model = new_model(llama, hidden_size=16, layers=1, heads=2, seed=0, attention="eager").double()
    found = gradient_norms(model, model, torch.arange(12).view(2, 6), (0.0, 1.0))
    assert found[1]["true"] == pytest.approx(found[0]["true"], rel=1e-12)
    assert found[1]["released"] < 1e-12


def test_the_tool_counts_every_file_of_messages(tmp_path, model_folder, capsys):
    for name in ("lima_messages", "dolly"):
        rows = [
            {"id": str(number), "messages": [{"role": role, "content": text * 9} for role, text in TURNS]} for number in (1, 2)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(data=tmp_path, model=model_folder, out=tmp_path / "out.json")
    content = read_json(tmp_path / "out.json")
    assert {name: list(sets) for name, sets in content["markers"].items()} == {
        "base model": ["lima_messages"],
        "Llama-like": ["lima_messages"],
    }
    assert content["markers"]["Llama-like"]["lima_messages"]["rows"] == 2
    assert "| Llama-like | lima_messages | 2 |" in capsys.readouterr().out


def test_a_folder_without_conversations_is_refused(tmp_path):
    with pytest.raises(InputError, match="no \\*_messages"):
        read_sets(tmp_path)
