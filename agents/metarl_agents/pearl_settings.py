"""PEARL's settings; light, so that help and errors come without torch."""

import math
from dataclasses import dataclass

from metarl.config.fields import require


@dataclass(frozen=True)
class PearlSettings:
    """PEARL; the defaults are those of Rakelly et al. 2019 for MuJoCo's tasks."""

    latent_size: int = 5
    """Numbers of z, which stands for the task."""
    encoder_sizes: tuple[int, ...] = (200, 200, 200)
    """Widths of the encoder's hidden layers; those of policy and critics are hidden_sizes."""
    infer_from_following: bool = False
    """Let the encoder see what came after each action, for tasks that differ in dynamics."""
    prior_episodes: int = 2
    """Episodes of a trial in training that act by the prior; the encoder learns from them alone,
    unless infer_from_posterior."""
    infer_from_posterior: bool = False
    """Let the encoder learn from a training trial's later episodes as well, as it meets them in an
    evaluation. The paper's sparse point robot has it, its MuJoCo tasks do not."""
    held_episodes: int = 0
    """Episodes of a training trial, after those by the prior, that hold one action from beginning
    to end, drawn evenly from all actions. The paper has none. Where rewards are sparse, they reach
    what no policy goes to yet; with infer_from_posterior the encoder learns from them. A
    sample z must have as many numbers as an action."""
    test_prior_episodes: int = 1
    """Episodes of a trial in evaluations that act by the prior."""
    first_passes: int = 2
    """Passes through the training tasks by untrained networks, before anything is learned."""
    gradient_steps: int = 2000
    """Gradient steps in an iteration."""
    meta_batch: int = 16
    """Tasks of a gradient step, drawn with replacement."""
    batch_size: int = 256
    """Transitions of each that policy and critics learn from."""
    context_size: int = 100
    """Transitions of each that the encoder infers it from."""
    learning_rate: float = 3e-4
    """Adam's step size, of all networks."""
    kl_weight: float = 0.1
    """Weight of the posterior's KL divergence from the prior, summed over the tasks."""
    reward_scale: float = 5.0
    """What rewards are multiplied by, for the critics."""
    learned_temperature: bool = False
    """Learn the entropy's weight (Haarnoja et al. 2018b), so that it is −1 a number of the action;
    it is 1 otherwise, and the reward's scale decides."""
    value_network: bool = True
    """Learn a value function and have its average for a target; without it the targets are averages
    of the Q functions (Haarnoja et al. 2018b)."""
    target_rate: float = 0.005
    """τ: how fast targets follow."""
    policy_regularisation: float = 1e-3
    """Weight of the means of μ² and (log σ)²."""
    shaped_rewards: bool = False
    """Let policy and critics learn in training from the rewards that the environment gives by
    `shaped_rewards(task, observations)`; the encoder never sees them."""
    replay_mebibytes: int = 1024
    """The most that the transitions may take; then the oldest are forgotten."""

    def __post_init__(self) -> None:
        positive = ("learning_rate", "reward_scale", "target_rate")
        for name in positive:
            require(self, name, 0 < getattr(self, name) < math.inf, "must be positive and finite")
        for name in ("kl_weight", "policy_regularisation"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "must be 0 or more, finite")
        require(self, "target_rate", self.target_rate <= 1, "must be at most 1")
        for name in (
            "latent_size",
            "prior_episodes",
            "first_passes",
            "gradient_steps",
            "meta_batch",
            "batch_size",
            "context_size",
            "replay_mebibytes",
        ):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        require(self, "held_episodes", self.held_episodes >= 0, "must be 0 or more")
        require(self, "test_prior_episodes", self.test_prior_episodes >= 1, "must be at least 1")
        good = all(size > 0 for size in self.encoder_sizes)
        require(self, "encoder_sizes", good, "must all be positive")
