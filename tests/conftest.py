"""Shapes are checked while tests run: jaxtyping's annotations by beartype."""

import sys
from pathlib import Path

import torch
from jaxtyping import install_import_hook

HOOK = install_import_hook(["metarl", "metarl_envs", "metarl_agents"], "beartype.beartype")

# Modules that tests and the workers they spawn import by name; spawn hands sys.path on.
sys.path.insert(0, str(Path(__file__).parent / "support"))

# As in the workers. On a busy machine, threads that wait for each other are many times slower.
torch.set_num_threads(1)
