"""Which runs agents fit; light, so that errors come without torch."""

from metarl.config.reinforcement import Config

BANDIT = "metarl_envs:metarl/BernoulliBandit-v0"
MDP = "metarl_envs:metarl/TabularMDP-v0"
GRID = "metarl_envs:metarl/GridNavi-v0"

MOST_GITTINS_PULLS = 500
"""Indices for so many pulls need about a gigabyte while they are computed."""


def without_second_derivatives(config: Config) -> str:
    """Say that there is nothing for `first_order` to leave out; empty: nobody asks for it."""
    return "it takes no second derivatives; leave first_order away" if config.first_order else ""


def nothing_to_compare(config: Config) -> str:
    """Say why no task's return can be compared with others'; empty: it can."""
    if config.tasks_per_batch > 1:
        return ""
    return (
        "tasks_per_batch = 1: its credit is what a task returns beyond the meta-batch's mean, and "
        "of a single task that is 0"
    )


def trial_pulls(config: Config) -> int:
    """Give the steps of a trial of an evaluation."""
    return (config.test_adaptation_steps + 1) * config.horizon


def too_long_for_gittins(config: Config) -> str:
    """Say why the trial is too long for a table of indices; empty: it is not."""
    pulls = trial_pulls(config)
    if pulls <= MOST_GITTINS_PULLS:
        return ""
    return f"it computes indices for at most {MOST_GITTINS_PULLS} pulls; a trial here has {pulls}"


def not_solvable(config: Config) -> str:
    """Say why the best plan is not to be had; empty: it is."""
    from metarl_agents import grid_search, optimal_bandits

    if config.train_range or config.test_ranges:
        return (
            "the best plan is for tasks of the environment's own distribution; train_range or "
            "test_ranges has others"
        )
    if config.env_id == BANDIT:
        arms, pulls = int(config.env_kwargs.get("arms", 5)), trial_pulls(config)
        if pulls > 1000 or (
            optimal_bandits.count_beliefs(arms, pulls) > optimal_bandits.MOST_BELIEFS
        ):
            return f"{pulls} pulls of {arms} arms lead to too many beliefs to solve exactly"
        return ""
    episodes, size = config.test_adaptation_steps + 1, int(config.env_kwargs.get("size", 5))
    if size > 5 or episodes > 100 or config.horizon > 100:
        return "the best search is known for grids of at most 5 × 5, and 100 episodes of 100 steps"
    if grid_search.search(size, episodes, config.horizon).proven_best:
        return ""
    return f"no search is proven best for {episodes} episodes of {config.horizon} steps"
