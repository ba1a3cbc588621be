from instune.selection.cost import forward, matrix_weights


def test_embeddings_norms_and_a_tied_head_multiply_no_token(tiny_model):
    hidden, inner, layers = 32, 128, 2  # attention: q, k, v, o; MLP: gate, up, down
    assert matrix_weights(tiny_model.base_model) == layers * (4 * hidden * hidden + 3 * hidden * inner)
    assert matrix_weights(tiny_model) == matrix_weights(tiny_model.base_model)
    assert forward(10, 3) == 60
