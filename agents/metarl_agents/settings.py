"""Settings of the agents; light, so that help and errors come without torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from metarl.config.fields import require
from metarl.config.settings import TrustRegionSettings

_OF_TRANSFORMERS = ("layers", "heads", "window")
_OF_SB3_TRPO = ("max_kl", "cg_iterations", "cg_damping")


def require_default(settings: object, names: Iterable[str], reason: str) -> None:
    """Refuse values that somebody chose, and that would be ignored.

    Raises:
        ConfigError: a field is not at its default.

    """
    for name in names:
        require(settings, name, getattr(settings, name) == getattr(type(settings), name), reason)


@dataclass(frozen=True)
class StableBaselinesSettings:
    """TRPO or PPO of stable-baselines3; what is not here keeps that library's default."""

    algorithm: Literal["trpo", "ppo"] = "trpo"
    """TRPO of sb3-contrib, or PPO of stable-baselines3."""
    max_kl: float = 0.01
    """Trust region of TRPO: largest mean KL divergence of one step."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations of TRPO."""
    cg_damping: float = 1e-3
    """Added to the diagonal of TRPO's curvature."""
    learning_rate: float = 1e-3
    """Adam's step size: of TRPO's critic, of PPO's actor and critic."""
    epochs: int = 10
    """Passes over an iteration's steps: by TRPO's critic, by PPO's actor and critic."""
    minibatches: int = 80
    """Minibatches of each pass."""

    def __post_init__(self) -> None:
        for name in ("max_kl", "learning_rate"):
            require(self, name, 0 < getattr(self, name) < math.inf, "must be positive and finite")
        require(self, "cg_damping", 0 <= self.cg_damping < math.inf, "must be 0 or more, finite")
        for name in ("cg_iterations", "epochs", "minibatches"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        if self.algorithm != "trpo":
            reason = 'is of TRPO; leave it away, or set algorithm = "trpo"'
            require_default(self, _OF_SB3_TRPO, reason)


@dataclass(frozen=True)
class ProMPSettings:
    """The outer steps of ProMP; the defaults are those of Rothfuss et al. 2019."""

    outer_learning_rate: float = 1e-3
    """Adam's step size."""
    outer_steps: int = 5
    """Adam steps on the same experience."""
    clip_ratio: float = 0.3
    """ε: how far the adapted policy's ratios count."""
    kl_penalty: float = 5e-4
    """η: weight of the KL divergence of the policy before adaptation."""

    def __post_init__(self) -> None:
        for name in ("outer_learning_rate", "clip_ratio"):
            require(self, name, 0 < getattr(self, name) < math.inf, "must be positive and finite")
        require(self, "kl_penalty", 0 <= self.kl_penalty < math.inf, "must be 0 or more, finite")
        require(self, "outer_steps", self.outer_steps >= 1, "must be at least 1")


@dataclass(frozen=True)
class ReptileSettings:
    """The outer step of Reptile."""

    outer_learning_rate: float = 1.0
    """ε: how far towards the adapted parameters; or Adam's step size, which is to be said."""
    optimiser: Literal["sgd", "adam"] = "sgd"
    """Plain steps, or Adam's."""

    def __post_init__(self) -> None:
        name = "outer_learning_rate"
        require(self, name, 0 < self.outer_learning_rate < math.inf, "must be positive and finite")
        if self.optimiser == "adam":
            said = self.outer_learning_rate != type(self).outer_learning_rate
            reason = (
                "is of plain steps; Adam would move every parameter by as much: take 0.001, say"
            )
            require(self, name, said, reason)


@dataclass(frozen=True)
class MultitaskSettings(TrustRegionSettings):
    """Policy gradient on all tasks together."""

    optimiser: Literal["adam", "trust-region"] = "adam"
    """Steps of Adam, or within a trust region."""
    outer_learning_rate: float = 0.01
    """Adam's step size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "outer_learning_rate"
        require(self, name, 0 < self.outer_learning_rate < math.inf, "must be positive and finite")
        if self.optimiser == "adam":
            reason = 'is of a trust region; leave it away, or set optimiser = "trust-region"'
            require_default(self, (field.name for field in fields(TrustRegionSettings)), reason)
        else:
            reason = 'is of Adam; leave it away, or set optimiser = "adam"'
            require_default(self, [name], reason)


@dataclass(frozen=True)
class CaviaSettings(TrustRegionSettings):
    """CAVIA by a trust-region outer step; the defaults are those of Zintgraf et al. 2019."""

    context_parameters: int = 5
    """Numbers that the policy sees beside every observation; adaptation moves them alone."""
    adapt_std: bool = False
    """Let the inner loop move a Gaussian policy's standard deviation as well, as MAML's does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = self.context_parameters >= 1
        require(self, "context_parameters", enough, "leaves nothing to adapt; must be at least 1")


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
class Ucb1Settings:
    """UCB1 (Auer, Cesa-Bianchi, Fischer 2002)."""

    exploration: float = 0.2
    """c: weight of √(2 ln t / T) beside an arm's mean. Of 0.1, 0.2, 0.3, 0.5 and 1, 0.2 was best
    for 100 pulls of 5 and of 10 arms; for 10 pulls 0.1 is a little better."""

    def __post_init__(self) -> None:
        require(self, "exploration", 0 <= self.exploration < math.inf, "must be 0 or more, finite")


@dataclass(frozen=True)
class OtsSettings:
    """Optimistic Thompson sampling, as Duan et al. 2016 describe it."""

    draws: int = 20
    """N: draws from the posterior, of which the likeliest is taken. Of 5 and 20, 20 was better."""

    def __post_init__(self) -> None:
        require(self, "draws", 1 <= self.draws <= 1000, "must lie between 1 and 1000")


@dataclass(frozen=True)
class OpsrlSettings:
    """Optimistic posterior sampling of processes."""

    draws: int = 5
    """Processes drawn from the posterior. 5 are hardly better than 2."""

    def __post_init__(self) -> None:
        require(self, "draws", 1 <= self.draws <= 1000, "must lie between 1 and 1000")


@dataclass(frozen=True)
class EpsilonGreedySettings:
    """The best action by what is known, and now and then any."""

    epsilon: float = 0.02
    """ε: probability of an action at random. Of 0.02, 0.05 and 0.1, 0.02 was best."""

    def __post_init__(self) -> None:
        require(self, "epsilon", 0 <= self.epsilon <= 1, "must lie between 0 and 1")


@dataclass(frozen=True)
class Ucrl2Settings:
    """UCRL2 (Jaksch, Ortner, Auer 2010)."""

    scale: float = 0.1
    """c: of the confidence set. Of 0.05, 0.1, 0.2 and 0.4, 0.1 was best for 25 episodes;
    for 10 they are alike."""

    def __post_init__(self) -> None:
        require(self, "scale", 0 <= self.scale < math.inf, "must be 0 or more and finite")


@dataclass(frozen=True)
class BebSettings:
    """The Bayesian exploration bonus (Kolter and Ng 2009)."""

    weight: float = 0.6
    """β: bonus of a state and action never tried. Of 0.3, 0.6, 1, 2 and 4, 0.6 was best for 25
    episodes, and 0.3 as good for 10."""

    def __post_init__(self) -> None:
        require(self, "weight", 0 <= self.weight < math.inf, "must be 0 or more and finite")


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
