"""Settings of agents that learn from whole trials by PPO; light, as `metarl_agents.settings`."""

import math
from dataclasses import dataclass
from typing import Literal

from metarl.config.fields import require
from metarl_agents.settings import require_default

_OF_TRANSFORMERS = ("layers", "heads", "window")


@dataclass(frozen=True)
class PPOSettings:
    """Proximal policy optimisation on whole trials (Schulman et al. 2017)."""

    learning_rate: float = 7e-4
    """Adam's step size."""
    final_learning_rate: float = 0.0
    """What the step size falls to, in a straight line over `decay_iterations`."""
    decay_iterations: int = 0
    """Iterations over which step size and entropy weight fall to their final values; 0: never."""
    epochs: int = 2
    """Passes over an iteration's trials."""
    minibatches: int = 4
    """Minibatches of each pass, of whole trials."""
    clip_ratio: float = 0.1
    """ε: how far the policy's ratios count."""
    value_targets: Literal["lambda-returns", "returns"] = "lambda-returns"
    """What values learn: the returns that the advantages are estimated by, with their λ; or plain
    discounted returns (λ = 1), as in the code of Duan et al. 2016, where λ is small."""
    value_weight: float = 0.5
    """Weight of the value's loss."""
    value_clip: float = 0.0
    """How far a value counts as moved in one update; 0: however far."""
    value_huber: float = 0.0
    """Error of a value above which it counts linearly and not squared; 0: never."""
    entropy_weight: float = 0.01
    """Weight of the policy's entropy."""
    final_entropy_weight: float = 0.0
    """What that weight falls to, likewise."""
    max_gradient_norm: float = 0.5
    """Longer gradients are shortened to that."""
    standardise_advantages: bool = True
    """Divide advantages by their standard deviation, after their mean is subtracted."""
    normalise_observations: bool = False
    """Subtract the running mean of observations and divide by their running standard deviation."""
    normalise_rewards: bool = False
    """Divide rewards by running standard deviations: by their own where the policy sees them, by
    that of discounted returns where it learns from them."""
    gradient_parts: int = 8
    """Parts of the meta-batch whose gradients are computed apart: more workers than that have
    nothing to do. Another number changes last bits."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip_ratio", "max_gradient_norm"):
            require(self, name, 0 < getattr(self, name) < math.inf, "must be positive and finite")
        for name in (
            "final_learning_rate",
            "value_weight",
            "value_clip",
            "value_huber",
            "entropy_weight",
            "final_entropy_weight",
        ):
            require(self, name, 0 <= getattr(self, name) < math.inf, "must be 0 or more, finite")
        require(self, "decay_iterations", self.decay_iterations >= 0, "must be 0 or more")
        for name in ("epochs", "minibatches", "gradient_parts"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        self.require_decay("learning_rate", "entropy_weight")

    def require_decay(self, *names: str) -> None:
        """Refuse another final value that somebody chose, where nothing falls to it.

        Raises:
            ConfigError: there is one.

        """
        for name in names:
            final = f"final_{name}"
            if not self.decay_iterations and getattr(self, final) != getattr(self, name):
                reason = "is never reached: decay_iterations is 0"
                require_default(self, [final], reason)

    def at(self, iteration: int) -> tuple[float, float]:
        """Give step size and entropy weight of an iteration."""
        if not self.decay_iterations:
            return self.learning_rate, self.entropy_weight
        share = min(1.0, iteration / self.decay_iterations)
        return (
            self.learning_rate + share * (self.final_learning_rate - self.learning_rate),
            self.entropy_weight + share * (self.final_entropy_weight - self.entropy_weight),
        )


@dataclass(frozen=True)
class RL2Settings(PPOSettings):
    """RL²: a policy with a memory, and the update that trains it."""

    memory: Literal["gru", "transformer"] = "gru"
    """A gated recurrent unit, or a transformer that attends to the last steps of the trial."""
    memory_size: int = 128
    """Numbers that the memory gives at a step; in the hidden state, or in a transformer's width."""
    observation_embedding: int = 0
    """Width of the layer that reads observations; 0: they go into the memory as they are."""
    action_embedding: int = 0
    """Width of the layer that reads the last action, likewise."""
    reward_embedding: int = 0
    """Width of the layer that reads the last reward, likewise."""
    input_embedding: int = 0
    """Width of a layer that reads the whole input together; 0: there is none."""
    observe_before: bool = False
    """Let the input have the observation that the last action answered as well, so that one step's
    input says what was seen, done and paid; the paper's memory has to recall the first itself."""
    observe_directly: bool = True
    """Show the observation to policy and value beside the memory; the paper does not."""
    truncation: int = 0
    """Steps after which gradients through time are cut off; 0: they go through whole trials."""
    remembered_steps: int = 0
    """Steps that a new recurrent memory keeps what it sees, at most, by the first biases of its
    gates (Tallec and Ollivier 2018); 0: they are 0, and half of it is gone after a step."""
    layers: int = 2
    """Blocks of a transformer."""
    heads: int = 4
    """Heads of the attention in each block of a transformer."""
    window: int = 128
    """Steps of the trial that a step of a transformer attends to, itself included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "memory_size", self.memory_size >= 1, "must be at least 1")
        for name in (
            "memory_size",
            "observation_embedding",
            "action_embedding",
            "reward_embedding",
            "input_embedding",
        ):
            size = getattr(self, name)
            require(self, name, size >= 0 and size % 4 == 0, "must be a multiple of 4")
        require(self, "truncation", self.truncation >= 0, "must be 0 or more")
        steps = self.remembered_steps
        require(self, "remembered_steps", steps == 0 or steps > 2, "must be 0 or more than 2")
        for name in _OF_TRANSFORMERS:
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        if self.memory == "transformer":
            self._require_transformer()
            return
        reason = 'is of a transformer; set memory = "transformer" as well'
        require_default(self, _OF_TRANSFORMERS, reason)

    def _require_transformer(self) -> None:
        good = self.memory_size % (4 * self.heads) == 0
        reason = f"must be a multiple of 4 heads = {4 * self.heads} in a transformer"
        require(self, "memory_size", good, reason)
        reason = "is of a recurrent memory; a transformer's gradients reach as far as its window"
        require(self, "truncation", self.truncation == 0, reason)
        reason = "is of a recurrent memory; a transformer sees all steps of its window"
        require(self, "remembered_steps", self.remembered_steps == 0, reason)


@dataclass(frozen=True)
class VariBADSettings(PPOSettings):
    """VariBAD: a belief about the task, what it is learned by, and the policy that sees it."""

    normalise_observations: bool = True
    """Show the policy observations less their running mean, divided by their running standard
    deviation; encoder and decoder see them as they are."""
    normalise_beliefs: bool = True
    """Show the policy beliefs likewise."""
    latent_size: int = 5
    """Numbers m that stand for a task; a belief has a mean and a log-variance of each."""
    memory_size: int = 128
    """Numbers in the encoder's hidden state."""
    observation_embedding: int = 32
    """Width of the layer by which the encoder reads observations; 0: they go into its memory as
    they are."""
    action_embedding: int = 16
    """Width of the layer that reads the last action, likewise."""
    reward_embedding: int = 16
    """Width of the layer that reads the last reward, likewise."""
    reward_decoder: Literal["regression", "cells"] = "regression"
    """What the decoder says of rewards: regression, each step's, from the observation, the action
    and what is seen next, by squared error; cells, whether a cell pays (a reward above 0), for each
    cell of a world whose observations are integer coordinates with bounds."""
    decode_observations: bool = False
    """Decode what is seen next as well, for tasks that differ in their dynamics."""
    decoder_sizes: tuple[int, ...] = (64, 32)
    """Widths of a decoder's hidden layers."""
    kl_weight: float = 0.1
    """β: weight of the KL divergence of a belief from the one of the step before."""
    reward_weight: float = 1.0
    """Weight of the errors of decoded rewards."""
    observation_weight: float = 1.0
    """Weight of the errors of decoded observations."""
    elbo_prefixes: int = 50
    """Prefixes of a trial that are drawn for a step of the encoder and decoder; 0: all."""
    decoded_steps: int = 50
    """Steps of a trial that are drawn and decoded for each of them; 0: all."""
    buffer_trials: int = 10_000
    """Trials that are remembered to train encoder and decoder on, the newest."""
    buffer_mebibytes: int = 512
    """Most memory for that; where trials are long, fewer are remembered. Every checkpoint has the
    buffer in it."""
    model_trials: int = 25
    """Trials of a step of the encoder and decoder."""
    model_steps: int = 3
    """Such steps in each iteration, by Adam; 0: a belief that is never learned."""
    model_learning_rate: float = 1e-3
    """Their step size."""
    final_model_learning_rate: float = 0.0
    """What that falls to, in a straight line over `decay_iterations`."""
    warm_up_iterations: int = 0
    """Iterations at the start in which encoder and decoder alone are trained, on trials of the
    policy as it was drawn, which acts almost at random."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "memory_size",
            "observation_embedding",
            "action_embedding",
            "reward_embedding",
        ):
            size = getattr(self, name)
            require(self, name, size >= 0 and size % 4 == 0, "must be a multiple of 4")
        for name in ("latent_size", "memory_size", "buffer_trials", "buffer_mebibytes"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        require(self, "model_trials", self.model_trials >= 1, "must be at least 1")
        good = bool(self.decoder_sizes) and min(self.decoder_sizes) >= 1
        require(self, "decoder_sizes", good, "must be one width or more, each at least 1")
        for name in ("kl_weight", "reward_weight", "observation_weight"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "must be 0 or more, finite")
        for name in ("elbo_prefixes", "decoded_steps", "model_steps", "warm_up_iterations"):
            require(self, name, getattr(self, name) >= 0, "must be 0 or more")
        good = 0 < self.model_learning_rate < math.inf
        require(self, "model_learning_rate", good, "must be positive and finite")
        good = 0 <= self.final_model_learning_rate < math.inf
        require(self, "final_model_learning_rate", good, "must be 0 or more, finite")
        self.require_decay("model_learning_rate")
        if not self.decode_observations:
            reason = "weighs nothing: decode_observations is False"
            require_default(self, ["observation_weight"], reason)

    def model_rate_at(self, iteration: int) -> float:
        """Give the step size of encoder and decoder in an iteration."""
        if not self.decay_iterations:
            return self.model_learning_rate
        share = min(1.0, iteration / self.decay_iterations)
        fall = self.model_learning_rate - self.final_model_learning_rate
        return self.model_learning_rate - share * fall
