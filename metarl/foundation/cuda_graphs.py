"""Work that is done over and over as CUDA graphs; on other devices the same work, call by call.

A control step or a product with the curvature is dozens of small kernels, each of which takes
longer to launch than to run. A graph launches them all at once. It reads and writes the very memory
of its capture, so that what goes in and out must stay where it is. Nothing inside may wait for the
device or ask it for a number.
"""

from collections.abc import Callable

import torch
from torch import Tensor


class GraphedCall:
    """Calls a function of tensors that stay where they are.

    On a CUDA device the first call is plain, so that libraries set themselves up; the second is
    captured, and that graph is launched from then on. Each call is done once: to capture is not to
    compute. A function may differentiate inside, as long as no graph of torch's autograd outlives
    it.

    Args:
        function: takes and gives nothing; it reads and writes tensors that outlive it.
        device: where they are.

    """

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self._function = function
        self._device = device
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do it."""
        self._calls += 1
        if self._device.type != "cuda":
            self._function()
            return
        with torch.cuda.device(self._device):
            if self._calls == 1:
                self._warm_up()
                return
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._function()
            self._graph.replay()

    def _warm_up(self) -> None:
        """Call the function on a stream of its own, as torch asks of what differentiates inside."""
        here = torch.cuda.current_stream()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            self._function()
        here.wait_stream(aside)


class GraphedFunction:
    """Calls a function of tensors; a new graph wherever their shapes or types are new.

    What it gives is written over by the next call.

    Args:
        function: from tensors to one tensor. What else it reads or changes must be tensors that
            stay where they are.

    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._call: GraphedCall | None = None
        self._inputs: list[Tensor] = []
        self._output = torch.zeros(0)

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Give the function's value."""
        if self._call is None or not self._fit(tensors):
            self._inputs = [tensor.detach().clone() for tensor in tensors]
            self._call = GraphedCall(self._run, tensors[0].device)
        else:
            for own, given in zip(self._inputs, tensors, strict=True):
                own.copy_(given)
        self._call()
        return self._output

    def _run(self) -> None:
        self._output = self._function(*self._inputs)

    def _fit(self, tensors: tuple[Tensor, ...]) -> bool:
        return [(own.shape, own.dtype) for own in self._inputs] == [
            (given.shape, given.dtype) for given in tensors
        ]
