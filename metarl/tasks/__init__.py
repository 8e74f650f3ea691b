"""What a task is and how environments and data sets carry it. It knows no policy, no process and
no run.
"""

import gymnasium as gym

# Presets name it as metarl.tasks:metarl/Wrapped-v0, whatever file it lies in.
gym.register(
    "metarl/Wrapped-v0",
    entry_point="metarl.tasks.foreign_environments:wrapped",
    order_enforce=False,
)
