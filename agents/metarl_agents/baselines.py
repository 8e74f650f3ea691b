"""The paper's baselines: random, pretrained and oracle (Finn, Abbeel, Levine 2017, section 5.3).

- *random*: a policy as it was initialised. It is not trained at all.
- *pretrained*: one policy trained on all tasks, a new one drawn at every reset.
- *oracle*: the same, and the policy observes the task.

The last two are trained by TRPO or PPO of stable-baselines3, with a critic; so their advantages are
not those of MAML's linear baseline, and after the time limit they count the critic's value where
the paper counts 0. An iteration takes as many environment steps as one of meta-training. It starts
from new episodes and from streams keyed by its number, so that a resumed run equals one that was
never interrupted.
"""

import traceback
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import torch

from metarl.agent.gradient import GRADIENT, collect_and_adapt
from metarl.agent.outer_steps import is_finite
from metarl.agent.protocol import AgentState, Metrics, Record
from metarl.agent.rejections import NO_STEP, NOT_FINITE
from metarl.agent.stable_baselines import (
    INSTALL,
    from_stable_baselines,
    policy_arguments,
    require_perceptron,
    to_stable_baselines,
)
from metarl.config.reinforcement import Config
from metarl.config.settings import NoSettings
from metarl.foundation.errors import ConfigError, RunFolderError, TaskError
from metarl.foundation.seeding import Purpose, Split, integer_seed
from metarl.foundation.threads import threads_of_the_start
from metarl.learning.adaptation import Parameters, unflatten
from metarl.learning.trajectories import TaskStatistics
from metarl.tasks.distribution import Tasks
from metarl.workers.shards import Shard, Vector, Workers, starts_anew, to_vector
from metarl_agents.settings import StableBaselinesSettings

_CRITIC = "critic/"
_ADAM = "adam/"


class Random:
    """The policy as it was initialised."""

    family = GRADIENT

    def __init__(self, settings: NoSettings, config: Config) -> None:
        pass

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the only state there is."""
        return AgentState(theta)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Improve nothing: the metrics say how a policy adapts that has learned nothing."""
        return state, {}


@starts_anew
def adapt_in_tests_alone(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Adapt to held-out tasks; in training, where the library steps environments, count its steps.

    Arguments as for `metarl.agent.gradient.collect_and_adapt`.
    """
    if key[0] == Split.TEST:
        return collect_and_adapt(shard, state, tasks, key)
    shard.begin(tasks, key)
    return [TaskStatistics((), (_steps_of_a_task(shard.config),)) for _ in shard.tasks]


class StableBaselines:
    """One policy for all tasks, trained by stable-baselines3 in this process."""

    family = replace(GRADIENT, meet=adapt_in_tests_alone, collects_in_shards=False)

    def __init__(self, settings: StableBaselinesSettings, config: Config) -> None:
        if config.dtype != "float32":
            raise ConfigError(f"dtype = {config.dtype!r}: agent {config.agent} works in float32")
        if config.on_env_error != "stop":
            raise ConfigError(
                f"on_env_error = {config.on_env_error!r}: agent {config.agent} trains by "
                "stable-baselines3, which can only stop where an environment fails"
            )
        if _steps_of_a_task(config) * config.tasks_per_batch < 2:
            raise ConfigError(
                f"agent {config.agent} would learn from a single environment step in an iteration, "
                "of which stable-baselines3 takes 2 at least; take more tasks, episodes or steps"
            )
        require_perceptron(config)
        self._settings = settings
        self._config = config
        self._kept: Any = None

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration; the critic is not yet there."""
        return AgentState(theta)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Collect one rollout and take one update, by stable-baselines3."""
        ((iteration, template),) = workers.map(iteration_and_template)[:1]
        with threads_of_the_start():
            return self._learn(state, iteration, template)

    def _learn(
        self, state: AgentState, iteration: int, template: Parameters
    ) -> tuple[AgentState, Metrics]:
        model = self._kept or self._model()
        self._kept = model
        _restore(model, state, template)
        seed = integer_seed(self._config.seed, Purpose.ACTION, Split.TRAIN, iteration)
        model.set_random_seed(seed)
        update, about = self._update(model, template)
        if update is None:  # what it did to the model is undone
            model.env.close()
            self._kept = None
        returns = [episode["r"] for episode in model.ep_info_buffer]
        metrics = {"pre_adaptation_return": float(np.mean(returns)), **about}
        return update or state, metrics

    def _update(self, model: Any, initial: Parameters) -> tuple[AgentState | None, Record]:
        """Collect and take one update; give the new state and the metrics of the update.

        There is no new state where the update made numbers that are not finite.

        Raises:
            TaskError: numbers of an environment are not finite; or anything failed, with the
                traceback.

        """
        rejected: Record = {"step_accepted": False, "rejection": NOT_FINITE}
        try:
            model.learn(model.n_steps * model.n_envs)  # resets all environments
        except TaskError as error:
            raise TaskError(f"agent {self._config.agent}: {error}") from error
        except Exception as error:
            # torch's distributions refuse parameters that are not finite.
            if isinstance(error, ValueError) and not _is_finite(_state(model, initial)):
                return None, rejected
            raise TaskError(
                f"agent {self._config.agent}: {type(error).__name__}: {error}\n\n"
                f"{traceback.format_exc().rstrip()}"
            ) from error
        state = _state(model, initial)
        return (state, _metrics(model)) if _is_finite(state) else (None, rejected)

    def _model(self) -> Any:
        """Build the model over an environment for each task of a meta-batch."""
        try:
            from sb3_contrib import TRPO
            from stable_baselines3 import PPO
            from stable_baselines3.common.logger import Logger

            from metarl_agents.native_vec_env import FiniteNumbers, environments_of_tasks
        except ImportError as error:
            raise ConfigError(
                f"agent {self._config.agent} needs stable-baselines3 and sb3-contrib: {INSTALL}"
            ) from error
        config, settings = self._config, self._settings
        environments = FiniteNumbers(environments_of_tasks(config, config.tasks_per_batch))
        steps = _steps_of_a_task(config)
        arguments: dict[str, Any] = {
            "n_steps": steps,
            # PPO refuses minibatches of one step.
            "batch_size": max(2, ceil(steps * config.tasks_per_batch / settings.minibatches)),
            "learning_rate": settings.learning_rate,
            "gamma": config.discount,
            "gae_lambda": config.gae_lambda,
            # Episodes that end early are more than the horizon suggests.
            "stats_window_size": steps * config.tasks_per_batch,
            "policy_kwargs": policy_arguments(config, config.hidden_sizes),
            "seed": config.seed,
            "device": config.device,
        }
        if settings.algorithm == "trpo":
            model: Any = TRPO(
                "MlpPolicy",
                environments,
                target_kl=settings.max_kl,
                cg_max_steps=settings.cg_iterations,
                cg_damping=settings.cg_damping,
                n_critic_updates=settings.epochs,
                **arguments,
            )
        else:
            model = PPO("MlpPolicy", environments, n_epochs=settings.epochs, **arguments)
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model


def iteration_and_template(shard: Shard) -> list[tuple[int, Parameters]]:
    """Give for each task the iteration that the shard is in, and the policy's parameters."""
    return [(shard.key[1], shard.template) for _ in shard.tasks]


def _steps_of_a_task(config: Config) -> int:
    """Give the environment steps that one iteration of meta-training takes on a task."""
    return config.episodes_per_task * (config.adaptation_steps + 1) * config.horizon


def _restore(model: Any, state: AgentState, initial: Parameters) -> None:
    """Put the actor, and after the first iteration critic and optimiser, into the model.

    Raises:
        RunFolderError: critic or optimiser, which a checkpoint gave, are not the model's.

    """
    try:
        _put(model, state, initial)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise RunFolderError(f"the checkpoint is not of this model: {error}") from error


def _put(model: Any, state: AgentState, initial: Parameters) -> None:
    actor = unflatten(torch.as_tensor(state.theta), initial)
    remembered = {name: torch.as_tensor(value) for name, value in state.optimiser.items()}
    critic = {
        name.removeprefix(_CRITIC): value
        for name, value in remembered.items()
        if name.startswith(_CRITIC)
    }
    tensors = {**model.policy.state_dict(), **to_stable_baselines(actor), **critic}
    model.policy.load_state_dict(tensors)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in remembered.items():
        if name.startswith(_ADAM):
            _, parameter, key = name.split("/")
            moments.setdefault(int(parameter), {})[key] = value
    groups = model.policy.optimizer.state_dict()["param_groups"]
    model.policy.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _state(model: Any, initial: Parameters) -> AgentState:
    """Read everything that the next iteration starts from."""
    tensors = model.policy.state_dict()
    actor = from_stable_baselines(tensors, initial, "the model")
    ours = to_stable_baselines(actor)
    remembered = {
        _CRITIC + name: value.cpu().numpy().copy()
        for name, value in tensors.items()
        if name not in ours
    }
    for parameter, moments in model.policy.optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            remembered[f"{_ADAM}{parameter}/{key}"] = value.cpu().numpy().copy()
    return AgentState(to_vector(actor), remembered)


def _is_finite(state: AgentState) -> bool:
    return is_finite(state.theta, state.optimiser)


def _metrics(model: Any) -> Record:
    """Give what stable-baselines3 logged of the update, under the names of meta-training."""
    logged = {
        name.removeprefix("train/"): float(value)
        for name, value in model.logger.name_to_value.items()
        if name.startswith("train/")
    }
    explained = logged["explained_variance"]
    metrics: Record = {
        "kl": logged.get("kl_divergence_loss", logged.get("approx_kl")),
        "value_loss": logged["value_loss"],
        # Of returns that are all equal there is no variance to explain.
        "explained_variance": explained if np.isfinite(explained) else None,
    }
    if "is_line_search_success" in logged:
        metrics["step_accepted"] = logged["is_line_search_success"] == 1.0
        metrics["rejection"] = None if metrics["step_accepted"] else NO_STEP
    return metrics
