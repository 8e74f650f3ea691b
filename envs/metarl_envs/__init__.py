"""The environments that come with metarl; importing this package registers them with Gymnasium.

`gymnasium.make("metarl_envs:metarl/Navigation2D-v0")` works anywhere: the part before the colon is
the package to import.
"""

import gymnasium as gym

gym.register(
    "metarl/Navigation2D-v0",
    entry_point="metarl_envs.navigation:Navigation2D",
    vector_entry_point="metarl_envs.navigation:navigation_2d_vector",
    max_episode_steps=100,
)
gym.register(
    "metarl/NavigationSemicircle-v0",
    entry_point="metarl_envs.navigation:NavigationSemicircle",
    vector_entry_point="metarl_envs.navigation:navigation_semicircle_vector",
    max_episode_steps=20,
)
gym.register(
    "metarl/NavigationCorners-v0",
    entry_point="metarl_envs.navigation:NavigationCorners",
    vector_entry_point="metarl_envs.navigation:navigation_corners_vector",
    max_episode_steps=100,
)
gym.register(
    "metarl/HalfCheetahDir-v0",
    entry_point="metarl_envs.half_cheetah:HalfCheetahDir",
    max_episode_steps=100,
)
gym.register(
    "metarl/HalfCheetahVel-v0",
    entry_point="metarl_envs.half_cheetah:HalfCheetahVel",
    max_episode_steps=100,
)
gym.register(
    "metarl/OneStepTarget-v0",
    entry_point="metarl_envs.diagnostics:OneStepTarget",
    vector_entry_point="metarl_envs.diagnostics:one_step_target_vector",
    max_episode_steps=1,
)
gym.register(
    "metarl/BernoulliBandit-v0",
    entry_point="metarl_envs.bandits:BernoulliBandit",
    vector_entry_point="metarl_envs.bandits:bernoulli_bandit_vector",
    max_episode_steps=10,
)
gym.register(
    "metarl/TabularMDP-v0",
    entry_point="metarl_envs.tabular:TabularMDP",
    vector_entry_point="metarl_envs.tabular:tabular_mdp_vector",
    max_episode_steps=10,
)
gym.register(
    "metarl/PendulumRandParams-v0",
    entry_point="metarl_envs.classic_control:PendulumRandParams",
    vector_entry_point="metarl_envs.classic_control:pendulum_rand_params_vector",
    max_episode_steps=200,
)
