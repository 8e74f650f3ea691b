"""Adam in place: torch's, to the last bit on the CPU."""

import pytest
import torch

from metarl.learning.adam import Adam


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_step_has_the_bits_of_torchs(dtype):
    generator = torch.Generator().manual_seed(0)

    def drawn(*sizes):
        return [torch.randn(size, generator=generator, dtype=dtype) for size in sizes]

    sizes = ((3, 5), (1,), (37,), (64, 33))
    wanted = [each.requires_grad_() for each in drawn(*sizes)]
    own = [each.detach().clone().requires_grad_() for each in wanted]
    addresses = [each.data_ptr() for each in own]
    reference, adam = torch.optim.Adam(wanted, lr=3e-3), Adam(own, 3e-3)
    for step in range(1, 60):
        slopes = [each * 10.0 ** (step % 7 - 4) for each in drawn(*sizes)]
        for parameter, slope in zip(wanted, slopes, strict=True):
            parameter.grad = slope.clone()
        reference.step()
        adam.descend(slopes, torch.tensor(adam.next_scales(), dtype=dtype))
        assert all(map(torch.equal, own, wanted))
    memory = [reference.state[each] for each in wanted]
    for kind, moments in (("exp_avg", adam.means), ("exp_avg_sq", adam.squares)):
        assert all(torch.equal(each[kind], own) for each, own in zip(memory, moments, strict=True))
    assert adam.steps == 59
    assert [each.data_ptr() for each in own] == addresses


def test_the_first_step_is_the_slopes_sign_times_the_step_size():
    parameter = torch.zeros(2, dtype=torch.float64)
    adam = Adam([parameter], 0.1)
    slope = torch.tensor([4.0, -0.5], dtype=torch.float64)
    adam.descend([slope], torch.tensor(adam.next_scales(), dtype=torch.float64))
    expected = torch.tensor([-0.1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=0)
