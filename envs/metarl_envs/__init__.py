"""The environments that come with metarl; importing this package registers them with Gymnasium.

`gymnasium.make("metarl_envs:metarl/Navigation2D-v0")` works anywhere: the part before the colon is
the package to import.
"""

from importlib.metadata import version

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
    "metarl/GridNavi-v0",
    entry_point="metarl_envs.grid:GridNavi",
    vector_entry_point="metarl_envs.grid:grid_navi_vector",
    max_episode_steps=15,
)
gym.register(
    "metarl/PendulumRandParams-v0",
    entry_point="metarl_envs.classic_control:PendulumRandParams",
    vector_entry_point="metarl_envs.classic_control:pendulum_rand_params_vector",
    max_episode_steps=200,
)

for _name in ("ML1", "ML10", "ML45"):
    gym.register(
        f"metarl/MetaWorld{_name}-v0",
        entry_point=f"metarl_envs.meta_world:{_name.lower()}",
        max_episode_steps=500,
    )

NEEDS = {f"metarl/MetaWorld{name}-v0": "metaworld" for name in ("ML1", "ML10", "ML45")}
"""The module that an environment needs beyond what metarl-suite installs."""

_MUJOCO_FAMILIES = {
    "HalfCheetahDir": ("half_cheetah:half_cheetah_dir", 100),
    "HalfCheetahVel": ("half_cheetah:half_cheetah_vel", 100),
    "HalfCheetahDirFinn2017": ("finn2017:half_cheetah_dir_finn2017", 200),
    "HalfCheetahVelFinn2017": ("finn2017:half_cheetah_vel_finn2017", 200),
    "AntDir": ("ant:ant_dir", 100),
    "AntDir2D": ("ant:ant_dir_2d", 100),
    "AntVel": ("ant:ant_vel", 200),
    "AntGoal": ("ant:ant_goal", 200),
    "AntGoalDisc": ("ant:ant_goal_disc", 200),
    "AntDirFinn2017": ("finn2017:ant_dir_finn2017", 200),
    "AntVelFinn2017": ("finn2017:ant_vel_finn2017", 200),
    "AntGoalFinn2017": ("finn2017:ant_goal_finn2017", 200),
    "Walker2dDir": ("walker2d:walker2d_dir", 200),
    "Walker2dVel": ("walker2d:walker2d_vel", 200),
    "Walker2dRandParams": ("walker2d:walker2d_rand_params", 200),
    "HopperRandParams": ("hopper:hopper_rand_params", 200),
    "HumanoidDir2D": ("humanoid:humanoid_dir_2d", 200),
    "SwimmerVel": ("swimmer:swimmer_vel", 200),
    "ReacherGoal": ("reacher:reacher_goal", 50),
}
"""Families of MuJoCo tasks: the function that specifies each, and the time limit."""

# mujoco.batch came with MuJoCo 3.17; before, the families run as single environments. The version
# is read from the package's metadata because importing mujoco takes a third of a second.
_HAS_NATIVE_BATCH = tuple(int(part) for part in version("mujoco").split(".")[:2]) >= (3, 17)

for _name, (_family, _max_episode_steps) in _MUJOCO_FAMILIES.items():
    gym.register(
        f"metarl/{_name}-v0",
        entry_point="metarl_envs.mujoco_single:MujocoTask",
        vector_entry_point=(
            "metarl_envs.mujoco_batch:MujocoTaskVector" if _HAS_NATIVE_BATCH else None
        ),
        max_episode_steps=_max_episode_steps,
        kwargs={"family": f"metarl_envs.{_family}"},
    )
