"""A preset's protocol in words: what an iteration of training collects, and what an evaluation."""

from typing import Any

from metarl.config.comparability import unit_of
from metarl.config.plugins import load_agent
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.foundation.wording import counted


def training_of(config: Any) -> str:
    """Say what an iteration of training does."""
    if isinstance(config, SupervisedConfig):
        return (
            f"{_counted(config.iterations, 'iteration')} of "
            f"{_counted(config.tasks_per_batch, 'task')}; each is adapted to by "
            f"{_steps(config.adaptation_steps, (config.inner_learning_rate,))} on "
            f"{_counted(config.shots, 'example')} and judged by {config.queries} others"
        )
    completed = _completed(config)
    tasks = _counted(config.tasks_per_batch, "task")
    if config.training_tasks:
        tasks += f" out of {config.training_tasks} that are drawn once"
    return f"{_counted(config.iterations, 'iteration')} of {tasks}; " + _collected(
        completed, completed.adaptation_steps, completed.episodes_per_task, config.learning_rates
    )


def evaluation_of(config: Any) -> str:
    """Say what an evaluation does where no option says otherwise."""
    tasks = _counted(config.test_tasks, "held-out task")
    if isinstance(config, Config):
        config = _evaluated(config)
    steps = config.test_adaptation_steps
    rates = config.learning_rates_at_test(steps)
    if isinstance(config, SupervisedConfig):
        shots = " / ".join(str(count) for count in config.shots_at_test)
        return (
            f"{tasks}; each is adapted to by {_steps(steps, rates)} on {shots} examples and judged "
            f"by {config.test_queries} others"
        )
    text = f"{tasks}; " + _collected(config, steps, config.test_episodes_per_task, rates)
    if config.test_query_episodes:
        text += f", {config.test_query_episodes} after the last"
    return text


def env_steps_per_iteration(config: Any) -> int | None:
    """Give the most environment steps that an iteration of training takes; None: none at all."""
    if isinstance(config, SupervisedConfig):
        return None
    completed = _completed(config)
    phases: int = completed.adaptation_steps + 1
    return int(completed.tasks_per_batch * completed.episodes_per_task * phases * config.horizon)


def _completed(config: Config) -> Config:
    """Give the configuration as the agent has it."""
    try:
        return load_agent(config.agent).completed(config)
    except ConfigError:  # of a package that has gone
        return config


def _evaluated(config: Config) -> Config:
    """Give the configuration as the agent has it in an evaluation."""
    try:
        return load_agent(config.agent).as_evaluated(config)
    except ConfigError:  # of a package that has gone
        return config


def _collected(config: Config, steps: int, episodes: int, rates: tuple[float, ...]) -> str:
    """Say what is played on each task."""
    length = f"at most {_counted(config.horizon, 'step')}"
    if unit_of(config.agent) == "episode":
        trials = f"{_counted(episodes, 'trial')} of {_counted(steps + 1, 'episode')}"
        return f"on each task {trials} of {length}"
    played = f"on each task {_counted(episodes, 'episode')} of {length}"
    if not steps:
        return f"{played}, without adaptation"
    after = "after each of" if steps > 1 else "after"
    return f"{played} before adaptation, and as many {after} {_steps(steps, rates)}"


def _steps(count: int, rates: tuple[float, ...]) -> str:
    """Say how many gradient steps, and their α: once where it stays."""
    shown = dict.fromkeys(f"{rate:g}" for rate in rates)
    text = _counted(count, "gradient step")
    return f"{text} (α {', then '.join(shown)})" if shown else text


def _counted(count: int, what: str) -> str:
    return counted(count, what, ",")
