"""An environment for metarl; importing this package registers it."""

import gymnasium as gym

gym.register("lighthouse/Beam-v0", entry_point="lighthouse.beam:Beam", max_episode_steps=20)
