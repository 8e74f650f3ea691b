"""What becomes a CUDA graph, with a recording in its place."""

import pytest
import torch
from recorded_graphs import record_graphs

from metarl.foundation.cuda_graphs import GraphedCall, GraphedFunction

FIRST = ["aside waits", "aside", "here waits"]


def test_the_first_call_is_aside_the_second_captured_and_each_done_once(monkeypatch):
    told = record_graphs(monkeypatch)
    total = torch.zeros(3)
    call = GraphedCall(lambda: total.add_(1), torch.device("cuda"))
    seen = []
    for _ in range(4):
        call()
        seen.append(total[0].item())
    assert seen == [1, 2, 3, 4]
    assert told == [*FIRST, "capture", "replay", "replay", "replay"]


def test_a_graph_differentiates_and_serves_other_values_of_the_same_sizes(monkeypatch):
    told = record_graphs(monkeypatch)
    weight = torch.rand(4, dtype=torch.float64).requires_grad_()

    def slope_after_a_step(inputs):
        (slope,) = torch.autograd.grad((weight * inputs).tanh().sum(), [weight])
        with torch.no_grad():
            weight.sub_(slope)
        return slope

    function = GraphedFunction(slope_after_a_step)
    for size in (4, 4, 4, 1, 1):
        inputs, before = torch.rand(size, dtype=torch.float64), weight.detach().clone()
        found = function(inputs)
        expected = (1 - (before * inputs).tanh() ** 2) * inputs
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(weight.detach(), before - expected)
    assert told == [*FIRST, "capture", "replay", "replay", *FIRST, "capture", "replay"]


def test_a_recording_repeats_the_numbers_that_python_had(monkeypatch):
    """The control: what does not come in by a tensor stays what it was."""
    record_graphs(monkeypatch)
    rates = iter([1.0, 2.0, 3.0, 4.0])
    total = torch.zeros(1)
    call = GraphedCall(lambda: total.add_(next(rates)), torch.device("cuda"))
    for _ in range(4):
        call()
    assert total.item() == 1 + 2 + 2 + 2


def test_a_recording_refuses_to_wait(monkeypatch):
    record_graphs(monkeypatch)
    total = torch.ones(1)
    call = GraphedCall(lambda: total.mul_(total.item()), torch.device("cuda"))
    call()
    with pytest.raises(AssertionError, match="waits for the device"):
        call()
