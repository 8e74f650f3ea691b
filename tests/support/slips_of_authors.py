"""Environments and agents of authors who have misspelt or left out something."""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from agents_conforming_and_not import Mover
from conforming_and_not import Reach

from metarl.config.plugins import AgentSpec
from metarl.config.settings import NoSettings


class DrawsWithoutGenerator(Reach):
    def sample_task(self):
        return np.zeros(1)


HERE = "slips_of_authors"
ENTRIES = {
    "DrawsWithoutGenerator": f"{HERE}:DrawsWithoutGenerator",
    "Misspelt": f"{HERE}:DrawsWithoutGenerater",
    "NoModule": "slips_of_nobody:Reach",
    "NoClass": HERE,
}
for name, entry in ENTRIES.items():
    gym.register(f"{name}-v0", entry_point=entry, max_episode_steps=4)
gym.register("NoEntry-v0", vector_entry_point=ENTRIES["Misspelt"])


class ArrayMetrics(Mover):
    def broken(self, workers, theta, moved):
        return theta + moved, {"norms": np.ones(2)}


@dataclass(frozen=True)
class Taken:
    seed: int = 3


MISSPELT = AgentSpec("agents_conforming_and_not:Moover", NoSettings, "", "")
NO_MODULE = AgentSpec("agents_of_nobody:Mover", NoSettings, "", "")
NO_CLASS = AgentSpec("agents_conforming_and_not", NoSettings, "", "")
TAKEN = AgentSpec("agents_conforming_and_not:Mover", Taken, "", "")
NUMPY_METRICS = AgentSpec("agents_conforming_and_not:NumpyMetrics", NoSettings, "", "")
ARRAY_METRICS = AgentSpec(f"{HERE}:ArrayMetrics", NoSettings, "", "")
