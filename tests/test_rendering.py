"""Pictures: of every registered environment, with OpenGL where it needs one and where there is one.

On a machine without OpenGL's libraries the tests of MuJoCo's pictures check instead that the error
names the packages to install.
"""

import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from installed import environments_here

from metarl.foundation.errors import RenderingError
from metarl.tasks.opengl import PACKAGES, opengl_backend
from metarl.tasks.rendering import MujocoFrames, render, replace_renderer

IDS = environments_here()


def make(env_id: str) -> gym.Env[Any, Any]:
    environment = gym.make(env_id, render_mode="rgb_array", disable_env_checker=True)
    environment.action_space.seed(1)
    environment.reset(seed=1)
    return environment


def opengl_is_here() -> bool:
    """Tell whether OpenGL is to be had; if not, check that the error helps."""
    try:
        opengl_backend()
    except RenderingError as error:
        complaint = str(error)
    else:
        return True
    assert all(packages in complaint for packages in PACKAGES.values())
    return False


@pytest.mark.parametrize("env_id", IDS)
def test_every_environment_draws_and_its_picture_changes(env_id: str) -> None:
    environment = make(env_id)
    if hasattr(environment.unwrapped, "mujoco_renderer") and not opengl_is_here():
        with pytest.raises(RenderingError, match="libosmesa6"):
            environment.render()
        return
    frames: list[Any] = [environment.render()]
    for _ in range(5):
        *_, terminated, truncated, _ = environment.step(environment.action_space.sample())
        if terminated or truncated:
            break
    frames.append(environment.render())
    environment.close()
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
        assert min(frame.shape[:2]) >= 200
        assert frame.shape[2] == 3
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 3
    assert not np.array_equal(frames[0], frames[1])


def test_worlds_without_physics_need_neither_opengl_nor_mujoco_nor_torch() -> None:
    without_physics = [
        name
        for name in IDS
        if not hasattr(gym.make(name, disable_env_checker=True).unwrapped, "mujoco_renderer")
    ]
    assert len(without_physics) >= 7
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["mujoco", "OpenGL", "pygame", "torch"]))
import gymnasium as gym
for name in {without_physics!r}:
    environment = gym.make(name, render_mode="rgb_array")
    environment.reset(seed=1)
    environment.step(environment.action_space.sample())
    assert environment.render().std() > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_mujoco_is_drawn_after_another_environment_was_closed() -> None:
    if not opengl_is_here():
        return
    first, second = make("Hopper-v5"), make("Hopper-v5")
    expected = render(second)
    render(first)
    first.close()
    assert np.array_equal(render(second), expected)
    second.close()


def test_the_camera_follows() -> None:
    if not opengl_is_here():
        return
    environment = make("metarl_envs:metarl/HalfCheetahVel-v0")
    world: Any = environment.unwrapped
    body = []
    for place in (0.0, 30.0):
        position = world.init_qpos.copy()
        position[0] = place
        world.set_state(position, world.init_qvel)
        frame = render(environment).astype(int)
        body.append(int((frame[..., 0] - frame[..., 2] > 40).sum()))
    environment.close()
    assert body[0] > 3000
    assert body[1] == pytest.approx(body[0], rel=0.1)


def test_frames_open_only_for_pictures_and_close_twice() -> None:
    environment = make("metarl_envs:metarl/HalfCheetahVel-v0")
    frames = MujocoFrames(environment.unwrapped.model, environment.unwrapped.data)  # type: ignore[attr-defined]
    assert frames.render(None) is None
    frames.close()
    frames.close()


def test_size_and_mode_stay_what_was_asked_for() -> None:
    small: Any = gym.make("Hopper-v5", render_mode="rgb_array", width=120, height=90)
    small.reset(seed=1)
    if opengl_is_here():
        assert render(small).shape == (90, 120, 3)
    small.close()
    depth: Any = gym.make("Hopper-v5", render_mode="depth_array").unwrapped
    theirs = depth.mujoco_renderer
    replace_renderer(depth)
    assert depth.mujoco_renderer is theirs
    depth.close()


class Painted(gym.Env[Any, Any]):
    """Gives whatever picture it was told."""

    def __init__(self, picture: Any) -> None:
        self.picture = picture

    def render(self) -> Any:
        return self.picture


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (None, "make it with render_mode='rgb_array'"),
        (np.zeros((8, 8, 3)), "gave no picture"),
        (np.zeros((8, 8, 3), dtype=np.uint8), "one colour only"),
    ],
)
def test_no_picture_and_a_constant_one_are_errors(picture: Any, words: str) -> None:
    with pytest.raises(RenderingError, match=words):
        render(Painted(picture))


def test_a_package_that_pictures_need_is_named(monkeypatch):
    environment = gym.make("Pendulum-v1", render_mode="rgb_array")
    environment.reset(seed=0)
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(RenderingError, match="pygame is not installed"):
        render(environment)
