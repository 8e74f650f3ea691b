"""The unit unrolled by hand is torch's, and so are its gradients."""

import pytest
import torch
from torch import nn

from metarl.learning.memory_policy import Gru
from metarl.learning.unrolled_gru import unrolled_gru

STEPS = 11


def unit_and_inputs(trials, dtype=torch.float64):
    torch.manual_seed(1)
    cell = nn.GRU(5, 8).to(dtype)
    return cell, torch.randn(STEPS, trials, 5, dtype=dtype, requires_grad=True)


def of_torch(cell, inputs, truncation):
    """The outputs of `torch.nn.GRU`, whose hidden state is detached now and then."""
    hidden = inputs.new_zeros(1, inputs.shape[1], 8)
    outputs = []
    for part in torch.split(inputs, truncation or STEPS):
        output, hidden = cell(part, hidden.detach())
        outputs.append(output)
    return torch.cat(outputs)


@pytest.mark.parametrize("truncation", [0, 1, 4, 20])
@pytest.mark.parametrize("trials", [1, 3, 0])
def test_outputs_and_gradients_are_those_of_torch(trials, truncation):
    cell, inputs = unit_and_inputs(trials)
    weights = [inputs, *cell.parameters()]
    target = torch.randn(STEPS, trials, 8, dtype=torch.float64)
    expected = of_torch(cell, inputs, truncation) if trials else target
    found = unrolled_gru(*weights, truncation)
    assert torch.allclose(found, expected, atol=1e-12)
    slopes = torch.autograd.grad((found * target).sum(), weights)
    if not trials:
        assert not any(slope.any() for slope in slopes)
        return
    others = torch.autograd.grad((expected * target).sum(), weights)
    for slope, other in zip(slopes, others, strict=True):
        assert torch.allclose(slope, other, atol=1e-12)


def test_gradients_equal_finite_differences():
    cell, inputs = unit_and_inputs(2)
    weights = [each.detach().requires_grad_() for each in (inputs, *cell.parameters())]
    assert torch.autograd.gradcheck(unrolled_gru, weights)


def test_a_memory_steps_as_it_unrolls():
    torch.manual_seed(1)
    memory = Gru(5, 8).double()
    inputs = torch.randn(STEPS, 3, 5, dtype=torch.float64)
    carried, outputs = memory.start(3), []
    for now in inputs:
        output, carried = memory.step(now, carried)
        outputs.append(output)
    assert torch.allclose(torch.stack(outputs), memory.unroll(inputs), atol=1e-12)
