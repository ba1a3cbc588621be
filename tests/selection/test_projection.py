import numpy as np
import pytest
import torch

from instune.selection.projection import BLOCK, project, signs


@pytest.mark.parametrize("width", [100, BLOCK, 2 * BLOCK + 77])
def test_blocks_give_what_the_whole_matrix_gives(width):
    groups = [torch.randn(rows, width, generator=torch.Generator().manual_seed(rows)) for rows in (1, 5, 3)]
    matrix = torch.cat([signs(7, block, 48) for block in range(3)])[:width]  # (p, 48)
    for group, projected in zip(groups, project(groups, 48, 7), strict=True):
        torch.testing.assert_close(projected, group @ matrix / 48**0.5, atol=1e-4, rtol=1e-5)


def test_signs_are_fair_independent_and_drawn_from_seed_and_block():
    block = signs(0, 0, 64)
    assert block.shape == (BLOCK, 64)
    assert set(block.unique().tolist()) == {-1.0, 1.0}
    products = block.T @ block / BLOCK  # (64, 64): the identity but for noise of 1 / sqrt(BLOCK)
    assert (products - torch.eye(64)).abs().max() < 6 / BLOCK**0.5
    assert abs(block.mean()) < 6 / (BLOCK * 64) ** 0.5
    assert torch.equal(block, signs(0, 0, 64))
    for other in (signs(0, 1, 64), signs(1, 0, 64), signs(-1, 0, 64), signs(2**70, 0, 64)):
        assert abs((block * other).mean()) < 6 / (BLOCK * 64) ** 0.5


def test_the_first_signs_are_the_same_on_every_machine():
    assert signs(3, 2, 64)[0, :16].int().tolist() == [1, 1, 1, 1, 1, 1, -1, 1, 1, 1, 1, 1, -1, 1, 1, -1]


def test_a_group_does_not_depend_on_the_others():
    groups = [torch.randn(4, 5000), torch.randn(2, 5000)]
    together = project(groups, 32, 0)
    for group, projected in zip(groups, together, strict=True):
        assert torch.equal(project([group], 32, 0)[0], projected)


def test_cosines_survive_within_the_noise_of_the_dimension():
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(1, 20_000, generator=draw)
    rows = torch.cat([one, one * 0.8 + 0.6 * torch.randn(1, 20_000, generator=draw), torch.randn(1, 20_000, generator=draw)])
    (projected,) = project([rows], 1024, 0)
    before, after = (torch.nn.functional.normalize(part) @ torch.nn.functional.normalize(part).T for part in (rows, projected))
    assert np.abs((before - after).numpy()).max() < 4 / 1024**0.5
