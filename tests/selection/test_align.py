import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

from instune.selection.align import _schedule, align, auc, evaluate, pair_loss
from instune.selection.encoder import PACKAGED, load, locate
from instune.selection.pairs import Pairs

TRAIN = Pairs(
    ("Sort the numbers.", "Count the words.", "Sort the numbers.", "Translate the text."),
    ("Put the numbers in order.", "How many words are there?", "Translate the text.", "Count the words."),
    (1.0, 1.0, 0.0, 0.0),
)


@pytest.fixture
def model():
    encoder = load(locate(next(iter(PACKAGED)), None)).to("cpu")
    torch.nn.Module.requires_grad_(encoder[0].auto_model.embeddings, False)  # smaller steps in a test
    return encoder


def test_auc_equals_the_count_over_pairs():
    draw = np.random.default_rng(0)
    values, labels = draw.integers(0, 6, size=60) / 5, (draw.random(60) < 0.4).astype(float)
    wins = [(one > zero) + 0.5 * (one == zero) for one in values[labels == 1] for zero in values[labels == 0]]
    assert auc(values, labels) == pytest.approx(np.mean(wins))


def test_the_loss_is_that_of_sentence_transformers(model):
    labels = torch.tensor(TRAIN.labels)
    features = [model.preprocess(list(side)) for side in (TRAIN.first, TRAIN.second)]
    with torch.no_grad():
        ours = pair_loss(model, list(TRAIN.first), list(TRAIN.second), labels)
        assert ours.item() == pytest.approx(CosineSimilarityLoss(model)(features, labels).item(), abs=1e-6)
        by_hand = [
            (label - float(np.dot(*model.encode([one, two], normalize_embeddings=True)))) ** 2
            for one, two, label in zip(TRAIN.first, TRAIN.second, TRAIN.labels, strict=True)
        ]
    assert ours.item() == pytest.approx(np.mean(by_hand), abs=1e-6)


def test_the_rate_warms_up_over_a_tenth_of_an_epoch_then_falls_to_zero():
    rate = _schedule(20, 100)
    assert [rate(step) for step in (0, 1, 2, 51, 99, 100)] == pytest.approx([0.5, 1, 1, 49 / 98, 1 / 98, 0])


def test_training_twice_from_one_seed_gives_the_same_weights_and_leaves_the_global_generator(model):
    start = {name: value.clone() for name, value in model.state_dict().items()}
    call = {"epochs": 1, "batch_size": 2, "learning_rate": 1e-4}
    before, results = torch.random.get_rng_state(), []
    for seed in (0, 0, 1):
        model.load_state_dict(start)
        align(model, TRAIN, TRAIN, **call, seed=seed)
        results.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_weights_of_the_best_epoch_are_left_and_their_scores_told(model):
    untrained = evaluate(model, TRAIN, 2)
    scores, kept = align(model, TRAIN, TRAIN, epochs=3, batch_size=2, learning_rate=2e-4, seed=0)
    assert scores[0] == untrained
    assert len(scores) == 4
    assert scores[kept]["pearson"] == max(score["pearson"] for score in scores[1:])
    assert evaluate(model, TRAIN, 2) == scores[kept]


def test_learning_reaches_pairs_that_words_alone_do_not_give_away(model):
    # like wording of two tasks, unlike wording of one: labels are opposite to what the encoder says at first
    pairs = Pairs(
        ("Sort the numbers from small to large.", "Count the letters of the word.") * 2,
        (
            "Count the letters of the name.",
            "Sort the numbers of the list.",
            "Sort the digits from small to large.",
            "Count letters.",
        ),
        (1.0, 1.0, 0.0, 0.0),
    )
    scores, _ = align(model, pairs, pairs, epochs=12, batch_size=4, learning_rate=3e-4, seed=0)
    assert scores[0]["auc"] < 0.5
    assert max(score["auc"] for score in scores) == 1.0
