"""The environments that come with metarl; importing this package registers them with Gymnasium.

`gymnasium.make("metarl_envs:metarl/Navigation2D-v0")` works anywhere: the part before the colon is
the package to import.
"""

import gymnasium as gym

gym.register(
    "metarl/Navigation2D-v0",
    entry_point="metarl_envs.navigation:Navigation2D",
    vector_entry_point="metarl_envs.navigation:Navigation2DVector",
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
    max_episode_steps=1,
)
gym.register(
    "metarl/BernoulliBandit-v0",
    entry_point="metarl_envs.bandits:BernoulliBandit",
    max_episode_steps=10,
)
