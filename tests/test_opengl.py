"""The choice of an OpenGL backend; none of this needs one to be installed."""

import sys
from pathlib import Path

import pytest

from metarl.foundation.errors import RenderingError
from metarl.tasks import opengl
from metarl.tasks.opengl import PACKAGES, choose_backend, probe


@pytest.mark.parametrize(
    ("broken", "chosen"), [((), "egl"), (("egl",), "osmesa"), (("osmesa",), "egl")]
)
def test_the_first_backend_that_draws_is_chosen(broken: tuple[str, ...], chosen: str) -> None:
    assert choose_backend("", lambda name: "broken" if name in broken else None) == chosen


def test_the_users_choice_is_the_only_one_tried() -> None:
    tried = []
    assert choose_backend(" OSMesa ", lambda name: tried.append(name)) == "osmesa"
    assert tried == ["osmesa"]
    with pytest.raises(RenderingError, match=r"glfw: no display.*MUJOCO_GL=glfw is set; unset it"):
        choose_backend("glfw", lambda name: "no display")


@pytest.mark.fault(
    32,
    "no OpenGL to render with",
    "the error names what to install; training and evaluation need none",
    group="platform",
)
def test_without_any_the_error_names_packages_and_reasons() -> None:
    reasons = {"egl": "ImportError: no EGL", "osmesa": "AttributeError: no OSMesa"}
    with pytest.raises(RenderingError) as raised:
        choose_backend("", reasons.__getitem__)
    for words in (*PACKAGES.values(), *reasons.values(), "Training does not need it"):
        assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_probe_tells_why_a_backend_fails() -> None:
    complaint = probe("nonsense")
    assert complaint is not None
    assert "nonsense" in complaint


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -SEGV $$", "died of signal 11"),
        ("exec sleep 5", "drew nothing in 0.2 s"),
        ("exit 3", "failed"),
    ],
)
def test_a_probe_survives_what_a_driver_does(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(opengl, "PROBE_SECONDS", 0.2)
    assert words in (probe("egl") or "")
