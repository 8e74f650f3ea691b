"""The agents that come with metarl: what the command line needs of each; one file for each.

Nothing here imports torch, so that help and errors come at once.
"""

from metarl.plugins import AgentSpec
from metarl_agents.settings import TrustRegionSettings

MAML_TRPO = AgentSpec(
    entry_point="metarl_agents.maml_trpo:MamlTrpo",
    settings=TrustRegionSettings,
    description="MAML with a trust-region outer step",
    source="Finn, Abbeel, Levine 2017 (arXiv 1703.03400)",
)
