"""The agents that come with metarl: what the command line needs of each; one file for each.

Nothing here imports torch, so that help and errors come at once.
"""

from metarl.config.plugins import AgentSpec
from metarl.config.settings import NoSettings, TrustRegionSettings
from metarl_agents.fits import (
    BANDIT,
    GRID,
    MDP,
    not_solvable,
    nothing_to_compare,
    too_long_for_gittins,
    without_second_derivatives,
)
from metarl_agents.pearl_settings import PearlSettings
from metarl_agents.settings import (
    BebSettings,
    CaviaSettings,
    EpsilonGreedySettings,
    MultitaskSettings,
    OpsrlSettings,
    OtsSettings,
    ProMPSettings,
    ReptileSettings,
    StableBaselinesSettings,
    Ucb1Settings,
    Ucrl2Settings,
)
from metarl_agents.trial_settings import RL2Settings, VariBADSettings

MAML_TRPO = AgentSpec(
    entry_point="metarl_agents.maml_trpo:MamlTrpo",
    settings=TrustRegionSettings,
    description="MAML with a trust-region outer step",
    source="Finn, Abbeel, Levine 2017 (arXiv 1703.03400)",
)

FOMAML_TRPO = AgentSpec(
    entry_point="metarl_agents.maml_trpo:MamlTrpo",
    settings=TrustRegionSettings,
    description="first-order MAML: the same without second derivatives",
    source="Finn, Abbeel, Levine 2017 (arXiv 1703.03400), section 5.2",
    fixes={"first_order": True},
)

E_MAML_TRPO = AgentSpec(
    entry_point="metarl_agents.e_maml_trpo:EMamlTrpo",
    settings=TrustRegionSettings,
    description="MAML that gives the episodes before adaptation credit for what comes after",
    source="Stadie et al. 2018 (arXiv 1803.01118)",
    misfit=nothing_to_compare,
)

META_SGD_TRPO = AgentSpec(
    entry_point="metarl_agents.meta_sgd_trpo:MetaSgdTrpo",
    settings=TrustRegionSettings,
    description="MAML with a learned inner step size for each parameter",
    source="Li, Zhou, Chen, Li 2017 (arXiv 1707.09835)",
)

CAVIA = AgentSpec(
    entry_point="metarl_agents.cavia:Cavia",
    settings=CaviaSettings,
    description="MAML that adapts a few inputs of the policy alone, its context",
    source="Zintgraf et al. 2019 (arXiv 1810.03642)",
    keeps_step_size=True,
)

PROMP = AgentSpec(
    entry_point="metarl_agents.promp:ProMP",
    settings=ProMPSettings,
    description="likelihood-ratio inner loss; clipped outer steps with a KL penalty, by Adam",
    source="Rothfuss et al. 2019 (arXiv 1810.06784)",
)

REPTILE = AgentSpec(
    entry_point="metarl_agents.reptile:Reptile",
    settings=ReptileSettings,
    description="moves towards the adapted parameters, without an outer gradient",
    source="Nichol, Achiam, Schulman 2018 (arXiv 1803.02999)",
    misfit=without_second_derivatives,
)

MULTITASK = AgentSpec(
    entry_point="metarl_agents.multitask:Multitask",
    settings=MultitaskSettings,
    description="one policy for all tasks by policy gradient; adapts only when it is evaluated",
    source="pretrained policy of Finn, Abbeel, Levine 2017, section 5.3, as the authors train it",
    fixes={"adaptation_steps": 0},
)

RL2 = AgentSpec(
    entry_point="metarl_agents.rl2:RL2",
    settings=RL2Settings,
    description="a recurrent policy that adapts by what it remembers of a trial; trained by PPO",
    source="Duan et al. 2016 (arXiv 1611.02779), Wang et al. 2016 (arXiv 1611.05763)",
    family="memory",
    unit="episode",
    misfit=without_second_derivatives,
)

VARIBAD = AgentSpec(
    entry_point="metarl_agents.varibad:VariBAD",
    family="memory",
    unit="episode",
    settings=VariBADSettings,
    description="a policy that sees a belief about its task, which a variational encoder learns",
    source="Zintgraf et al. 2020 (arXiv 1910.08348)",
    misfit=without_second_derivatives,
)

PEARL = AgentSpec(
    entry_point="metarl_agents.pearl:Pearl",
    family="inference",
    unit="episode",
    settings=PearlSettings,
    description="a policy told a sample of what its task may be; off-policy, by soft actor-critic",
    source="Rakelly et al. 2019 (arXiv 1903.08254)",
    fixes={"action_scale": 1.0},  # its actions are hyperbolic tangents
    defaults={"training_tasks": 100},
    misfit=without_second_derivatives,
)

_PAPER = "baseline of Finn, Abbeel, Levine 2017, section 5.3"

RANDOM = AgentSpec(
    entry_point="metarl_agents.baselines:Random",
    settings=NoSettings,
    description="no training: adapts from a random initialisation",
    source=_PAPER,
    baseline=True,
    trained=False,
)

PRETRAINED = AgentSpec(
    entry_point="metarl_agents.baselines:StableBaselines",
    settings=StableBaselinesSettings,
    description="one policy for all tasks, by TRPO or PPO of stable-baselines3",
    source=_PAPER,
    baseline=True,
)

ORACLE = AgentSpec(
    entry_point="metarl_agents.baselines:StableBaselines",
    settings=StableBaselinesSettings,
    description="as pretrained, with the task appended to the observation; never adapts",
    source=_PAPER,
    baseline=True,
    fixes={"observe_task": True},
)

UNIFORM = AgentSpec(
    entry_point="metarl_agents.classical:uniform",
    settings=NoSettings,
    description="acts at random",
    source='Duan et al. 2016 (arXiv 1611.02779), their baseline "random"',
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
)

GREEDY = AgentSpec(
    entry_point="metarl_agents.classical:greedy",
    settings=NoSettings,
    description="the best by posterior means",
    source="Duan et al. 2016 (arXiv 1611.02779)",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT, MDP),
)

EPSILON_GREEDY = AgentSpec(
    entry_point="metarl_agents.classical:epsilon_greedy",
    settings=EpsilonGreedySettings,
    description="the best by posterior means, and now and then any action",
    source="Duan et al. 2016 (arXiv 1611.02779)",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT, MDP),
)

THOMPSON = AgentSpec(
    entry_point="metarl_agents.classical:thompson",
    settings=NoSettings,
    description="posterior sampling: of arms, or of whole processes (PSRL)",
    source="Thompson 1933; Strens 2000",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT, MDP),
)

OTS = AgentSpec(
    entry_point="metarl_agents.classical:ots",
    settings=OtsSettings,
    description="optimistic Thompson sampling: the likeliest of several draws",
    source="May et al. 2012, as in Duan et al. 2016",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT,),
)

UCB1 = AgentSpec(
    entry_point="metarl_agents.classical:ucb1",
    settings=Ucb1Settings,
    description="the arm of the largest upper confidence bound",
    source="Auer, Cesa-Bianchi, Fischer 2002",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT,),
)

GITTINS = AgentSpec(
    entry_point="metarl_agents.classical:gittins",
    settings=NoSettings,
    description="the arm of the largest finite-horizon Gittins index",
    source="Gittins 1979; Nino-Mora 2011",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT,),
    misfit=too_long_for_gittins,
)

BAYES_OPTIMAL = AgentSpec(
    entry_point="metarl_agents.classical:bayes_optimal",
    settings=NoSettings,
    description="the best plan there is, where it can be computed",
    source="dynamic programming (Bellman 1956)",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(BANDIT, GRID),
    misfit=not_solvable,
)

OPSRL = AgentSpec(
    entry_point="metarl_agents.classical:opsrl",
    settings=OpsrlSettings,
    description="plans in the best of several processes drawn from the posterior",
    source="Osband, Van Roy 2017 (arXiv 1607.00215)",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(MDP,),
)

UCRL2 = AgentSpec(
    entry_point="metarl_agents.classical:ucrl2",
    settings=Ucrl2Settings,
    description="plans in the best process of a confidence set",
    source="Jaksch, Ortner, Auer 2010",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(MDP,),
)

BEB = AgentSpec(
    entry_point="metarl_agents.classical:beb",
    settings=BebSettings,
    description="plans with a bonus for what was seldom tried",
    source="Kolter, Ng 2009",
    baseline=True,
    trained=False,
    family="memory",
    unit="episode",
    environments=(MDP,),
)
