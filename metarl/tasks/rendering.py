"""Pictures of environments, without a display. Training needs nothing of this.

Environments without physics draw themselves. MuJoCo needs an OpenGL that works without a display,
which `metarl.tasks.opengl` chooses.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import UInt8

from metarl.foundation.errors import RenderingError
from metarl.tasks.opengl import opengl_backend

Frame = UInt8[np.ndarray, "height width 3"]

_TINY_MODEL = "<mujoco><worldbody><light pos='0 0 3'/><geom size='.1'/></worldbody></mujoco>"


def render(environment: gym.Env[Any, Any]) -> Frame:
    """Give a picture of an environment made with `render_mode="rgb_array"`, whoever wrote it.

    Raises:
        RenderingError: the environment gives no picture, a constant one, or there is no OpenGL.

    """
    world: Any = environment.unwrapped
    theirs = getattr(world, "mujoco_renderer", None)
    if theirs is not None and not isinstance(theirs, MujocoFrames):
        replace_renderer(world)
    try:
        given: Any = environment.render()
    except gym.error.DependencyNotInstalled as error:  # pygame, for the classic environments
        raise RenderingError(str(error)) from error
    name = environment.spec.id if environment.spec is not None else type(world).__name__
    if not (isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 3):
        raise RenderingError(
            f"environment {name} gave no picture from render(); make it with "
            "render_mode='rgb_array'"
        )
    return _not_constant(given, f"of environment {name}")


def replace_renderer(world: Any) -> None:
    """Let a Gymnasium MuJoCo environment draw by `MujocoFrames`, if its mode is "rgb_array".

    Without a display Gymnasium's own renderer fails unless MUJOCO_GL is set, and it gives black
    frames once another environment was closed.

    Args:
        world: the environment itself, without its wrappers.

    """
    if world.render_mode != "rgb_array":
        return
    camera = getattr(world.mujoco_renderer, "default_cam_config", None)
    world.mujoco_renderer.close()
    world.mujoco_renderer = MujocoFrames(
        world.model, world.data, world.width, world.height, camera_settings=camera
    )


class MujocoFrames:
    """Draws a MuJoCo model's current state, from the camera `track` where there is one.

    It can stand in for the `mujoco_renderer` of a Gymnasium environment. The OpenGL context is
    made with the first frame.

    Args:
        model: the `mujoco.MjModel`.
        data: the `mujoco.MjData` that is drawn.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        camera_settings: fields of a free or tracking `mujoco.MjvCamera`, as Gymnasium's
            `default_camera_config`, for models without a camera `track`.
        backend: an OpenGL backend that is known to draw; None: the one found here.

    """

    def __init__(
        self,
        model: Any,
        data: Any,
        width: int = 480,
        height: int = 480,
        camera_settings: Mapping[str, Any] | None = None,
        backend: str | None = None,
    ) -> None:
        self._model = model
        self._data = data
        self._width = width
        self._height = height
        self._camera_settings = camera_settings
        self._backend = backend
        self._opened: tuple[Any, Any, Any, Any] | None = None

    def render(self, render_mode: str | None) -> Frame | None:
        """Give a picture; None unless the render mode is "rgb_array"."""
        return self.frame() if render_mode == "rgb_array" else None

    def frame(self) -> Frame:
        """Give a picture of the current state.

        Raises:
            RenderingError: there is no OpenGL, or the picture is constant.

        """
        import mujoco

        if self._opened is None:
            self._opened = self._open()
        context, painter, scene, camera = self._opened
        context.make_current()  # another environment may have taken over since the last frame
        mujoco.mjv_updateScene(
            self._model,
            self._data,
            mujoco.MjvOption(),
            None,
            camera,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            scene,
        )
        area = mujoco.MjrRect(0, 0, self._width, self._height)
        mujoco.mjr_render(area, scene, painter)
        pixels = np.empty((self._height, self._width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, area, painter)
        # OpenGL's first row is the lowest.
        return _not_constant(np.flipud(pixels).copy(), "by MuJoCo")

    def close(self) -> None:
        """Release the OpenGL context."""
        if self._opened is not None:
            context, painter, _, _ = self._opened
            self._opened = None
            context.make_current()
            painter.free()
            context.free()

    def _open(self) -> tuple[Any, Any, Any, Any]:
        import mujoco

        # The context comes from the backend's own module: `mujoco.GLContext` was settled when
        # mujoco was imported, which an environment does long before its first picture.
        backend = self._backend or opengl_backend()
        context = import_module(f"mujoco.{backend}").GLContext(self._width, self._height)
        context.make_current()
        off_screen = self._model.vis.global_
        off_screen.offwidth = max(off_screen.offwidth, self._width)
        off_screen.offheight = max(off_screen.offheight, self._height)
        painter = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, painter)
        scene = mujoco.MjvScene(self._model, maxgeom=10_000)
        # Without a graphics card, shadows and reflections take three quarters of the time.
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return context, painter, scene, self._camera()

    def _camera(self) -> Any:
        import mujoco

        camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(self._model, camera)
        kind = mujoco.mjtObj.mjOBJ_CAMERA
        track = mujoco.mj_name2id(self._model, kind, "track")
        if track >= 0:
            camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            camera.fixedcamid = track
        for name, value in ({} if track >= 0 else self._camera_settings or {}).items():
            if name == "trackbodyid" and value >= 0:
                camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            if isinstance(value, np.ndarray):
                getattr(camera, name)[:] = value
            else:
                setattr(camera, name, value)
        return camera


def draw_tiny_scene(backend: str) -> None:
    """Draw something with a backend, as proof that it works."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(_TINY_MODEL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    frames = MujocoFrames(model, data, 32, 32, backend=backend)
    frames.frame()
    frames.close()


def _not_constant(frame: Frame, origin: str) -> Frame:
    if frame.min() == frame.max():
        raise RenderingError(f"the picture {origin} has one colour only, {frame.min()} everywhere")
    return frame
