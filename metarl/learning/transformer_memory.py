"""A causal transformer as the memory of a policy: each step attends to the last steps of its trial.

Vaswani et al. 2017 (arXiv 1706.03762), normalised before each block (Xiong et al. 2020, arXiv
2002.04745). Step t attends to the steps t − W + 1 … t that lie in its trial, in both paths:
`unroll` by a mask, `step` by keeping the keys and values of the last W steps.

Positions are rotary (Su et al. 2021, arXiv 2104.09864): what a step makes of another depends on
their distance alone, a kept key stays as it is, and, other than with ALiBi (Press et al. 2022),
what is long past counts no less from the start, as it must where a policy is to count outcomes.
"""

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

_SLOWEST = 10_000.0
"""Base of the rotary frequencies."""
_WIDER = 4
"""How many times as wide as its input the hidden layer of a feed-forward block is."""


class Transformer(nn.Module):
    """Blocks of attention and feed-forward layers over a window of the last steps.

    What travels from step to step has a row for each trial: rotated keys and values of the last
    steps, each (row, layer, window, size), where step t lies in place t mod W; and (row, 1) how
    many steps the trial has taken.

    Args:
        inputs: numbers of a step's input.
        size: numbers of a step's output, a multiple of `4 heads`.
        layers: blocks.
        heads: of the attention in a block.
        window: W: steps that a step attends to, itself included.

    """

    def __init__(self, inputs: int, size: int, layers: int, heads: int, window: int) -> None:
        super().__init__()
        self.reader = nn.Linear(inputs, size)
        self.blocks = nn.ModuleList(TransformerBlock(size, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.output_size = size
        self._head_width = size // heads
        self._window = window

    @property
    def _blocks(self) -> list["TransformerBlock"]:
        return cast("list[TransformerBlock]", list(self.blocks))

    def start(self, rows: int) -> tuple[Tensor, ...]:
        """Give the memory before the first step: zeros."""
        like = self.reader.weight
        kept = (rows, len(self.blocks), self._window, self.output_size)
        return like.new_zeros(kept), like.new_zeros(kept), like.new_zeros(rows, 1)

    def step(
        self, inputs: Float[Tensor, "row input"], memory: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "row output"], tuple[Tensor, ...]]:
        """Take one step. The memory given is used up: what it keeps is written into."""
        keys, values, taken = memory
        turn = rotation(taken[:, 0], self._head_width)
        rows = torch.arange(len(inputs), device=inputs.device)
        place = taken[:, 0].long() % self._window
        filled = torch.arange(self._window, device=inputs.device) <= taken
        stream = self.reader(inputs)
        for layer, block in enumerate(self._blocks):
            query, key, value = block.ask(stream, turn)
            keys[rows, layer, place], values[rows, layer, place] = key.flatten(1), value.flatten(1)
            seen = attend_to_kept(query, keys[:, layer], values[:, layer], filled)
            stream = block.answer(stream, seen)
        return self.norm(stream), (keys, values, taken + 1)

    def unroll(
        self, inputs: Float[Tensor, "time trial input"], truncation: int = 0
    ) -> Float[Tensor, "time trial output"]:
        """Take all steps from the start.

        Raises:
            ValueError: gradients are to be cut off, which here the window alone does.

        """
        if truncation:
            raise ValueError(f"truncation = {truncation}: a transformer's gradients are never cut")
        times = torch.arange(len(inputs), device=inputs.device)
        turn = tuple(part[:, None] for part in rotation(times.to(inputs), self._head_width))
        distance = times[:, None] - times
        mask = None  # the causal mask alone has faster ways
        if len(inputs) > self._window:
            mask = (distance >= 0) & (distance < self._window)
        stream = self.reader(inputs)
        for block in self._blocks:
            query, key, value = (part.permute(1, 2, 0, 3) for part in block.ask(stream, turn))
            seen = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=mask is None
            )
            stream = block.answer(stream, seen.permute(2, 0, 1, 3))
        output: Tensor = self.norm(stream)
        return output


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each added to what goes past it.

    Args:
        size: numbers of a step.
        heads: of the attention.

    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size)
        self.asked = nn.Linear(size, 3 * size)
        self.attended = nn.Linear(size, size)
        self.feed_norm = nn.LayerNorm(size)
        self.feed = nn.Sequential(
            nn.Linear(size, _WIDER * size), nn.GELU(), nn.Linear(_WIDER * size, size)
        )
        self._heads, self._head_width = heads, size // heads

    def ask(
        self,
        stream: Float[Tensor, "*batch size"],
        turn: tuple[Float[Tensor, "*#batch 1 half"], ...],
    ) -> tuple[Float[Tensor, "*batch head width"], ...]:
        """Give each step's query and key, rotated, and its value."""
        asked = self.asked(self.attention_norm(stream))
        by_head = (*stream.shape[:-1], 3, self._heads, self._head_width)
        query, key, value = asked.view(by_head).unbind(-3)
        return rotated(query, turn), rotated(key, turn), value

    def answer(
        self, stream: Float[Tensor, "*batch size"], seen: Float[Tensor, "*batch head width"]
    ) -> Float[Tensor, "*batch size"]:
        """Go on with what the heads have seen."""
        stream = stream + self.attended(seen.flatten(-2))
        answer: Tensor = stream + self.feed(self.feed_norm(stream))
        return answer


def attend_to_kept(
    query: Float[Tensor, "row head width"],
    keys: Float[Tensor, "row window size"],
    values: Float[Tensor, "row window size"],
    filled: Bool[Tensor, "row window"],
) -> Float[Tensor, "row head width"]:
    """Give softmax(q Kᵀ / √width) V of each row and head, over the places that are filled."""
    by_head = (*keys.shape[:2], *query.shape[1:])
    seen = functional.scaled_dot_product_attention(
        query.unsqueeze(2),
        keys.view(by_head).transpose(1, 2),
        values.view(by_head).transpose(1, 2),
        attn_mask=filled[:, None, None],
    )
    return seen.squeeze(2)


def rotation(
    times: Float[Tensor, " step"], width: int
) -> tuple[Float[Tensor, "step 1 half"], Float[Tensor, "step 1 half"]]:
    """Give cosine and sine of the angles t θ_i, θ_i = 10000^(−2 i / width) (equation 15).

    Args:
        times: t, from 0 at the start of a trial.
        width: of a head.

    """
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=times.device) / width
    angles = (times.double()[:, None] * _SLOWEST**-exponents).unsqueeze(1)
    return angles.cos().to(times), angles.sin().to(times)


def rotated(
    heads: Float[Tensor, "*batch head width"], turn: tuple[Float[Tensor, "*#batch 1 half"], ...]
) -> Float[Tensor, "*batch head width"]:
    """Turn each pair (x_i, x_{i + width / 2}) by its angle."""
    cosine, sine = turn
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)
