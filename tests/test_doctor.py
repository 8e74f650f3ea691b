"""`metarl doctor`: what is in order, missing or wrong is told, and only what is needed counts."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from metarl import __version__
from metarl.api import doctor, installation_checks, machine_checks
from metarl.api.findings import Finding
from metarl.cli import main, output
from metarl.config import plugins


def doctor_in_a_process(folder, **environment):
    """Run all of it where nothing is imported yet."""
    code = "import sys; from metarl.cli import main; sys.exit(main(['doctor', '--json']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)
    found = {(each["area"], each["subject"]): each for each in said["findings"]}
    return done, said, found


def test_all_is_examined_where_no_opengl_has_the_name_that_is_set(tmp_path):
    done, said, found = doctor_in_a_process(tmp_path, MUJOCO_GL="bogus")
    assert (done.returncode, said["healthy"]) == (1, False)
    assert list(said["findings"][0]) == ["area", "subject", "state", "words", "advice", "needed"]
    assert {each["state"] for each in said["findings"]} <= {"ok", "missing", "problem"}
    for place in (("packages", "torch"), ("workers", "processes"), ("folders", "runs")):
        assert (found[place]["state"], found[place]["needed"]) == ("ok", True)
    mujoco, opengl = found["packages", "mujoco"], found["rendering", "OpenGL"]
    assert (mujoco["state"], mujoco["needed"]) == ("problem", True)  # it refuses to be imported
    assert (opengl["state"], opengl["needed"]) == ("problem", False)
    assert mujoco["advice"] == opengl["advice"] == "unset MUJOCO_GL"
    assert "MUJOCO_GL=bogus is set" in opengl["words"]
    assert found["variables", "MUJOCO_GL"]["words"] == "'bogus'"
    assert found["rendering", "clips"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_without_any_opengl_metarl_still_works(monkeypatch, capsys):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(machine_checks, "probe", lambda backend: "no such library")
    monkeypatch.setattr(doctor, "CHECKS", (machine_checks.rendering,))
    assert main(["doctor"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "missing OpenGL no OpenGL draws without a display here (egl: no such library" in printed
    assert printed.endswith("metarl works here")


def test_a_broken_plug_in_is_named_with_its_package(tmp_path, monkeypatch, capsys):
    about = tmp_path / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[metarl.environments]\nlost = doctored_lost\n[metarl.agents]\nwrong = doctored:IT\n"
        "[metarl.presets]\nmine = doctored_presets\n"
    )
    (tmp_path / "doctored.py").write_text("IT = 3\n")
    presets = tmp_path / "doctored_presets"
    presets.mkdir()
    (presets / "bad.toml").write_text("horizon = \n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_named", set())
    monkeypatch.setattr(doctor, "CHECKS", (installation_checks.plug_ins,))
    assert main(["doctor"]) == 0  # metarl itself works
    said = capsys.readouterr()
    printed = " ".join(said.out.split())
    assert said.err == ""
    assert "left out: lost (metarl.environments) of package stranger: ModuleNotFound" in printed
    assert "doctored:IT is no AgentSpec but int" in printed
    assert "preset 'bad' is not valid TOML" in printed
    assert printed.count("→ tell the authors of stranger") == 3
    assert printed.endswith("metarl works here; problems beside that: 3")


def packages(monkeypatch, *requirements: str) -> dict[str, Finding]:
    monkeypatch.setattr(installation_checks, "requires", lambda name: list(requirements))
    found = [*installation_checks.python_and_packages(), *installation_checks.extras()]
    return {each.subject: each for each in found}


def test_packages_that_are_absent_too_old_or_broken_are_told_apart(monkeypatch):
    def broken(name: str) -> None:
        raise OSError("libtorch.so: no such file")

    monkeypatch.setattr(installation_checks, "import_module", broken)
    found = packages(
        monkeypatch, "numpy>=2; python_version >= '3'", "scipy>=99", "torch", "no-such-thing>=1",
        'pillow; extra == "ray"', 'no-such-thing; extra == "wandb"', 'numpy>=99; extra == "sb3"',
    )  # fmt: skip
    assert found["numpy"].state == "ok"
    assert found["scipy"].words.endswith("does not fit >=99")
    assert found["torch"].words.endswith("cannot be imported: OSError: libtorch.so: no such file")
    assert found["no-such-thing"].words == "not installed"
    assert found["no-such-thing"].advice == 'pip install "no-such-thing>=1"'
    for name in ("scipy", "torch", "no-such-thing"):
        assert (found[name].state, found[name].needed) == ("problem", True)
    assert (found["wandb"].state, found["wandb"].needed) == ("missing", False)
    assert (found["sb3"].state, found["sb3"].needed) == ("problem", False)
    assert found["ray"].words == f"pillow {version('pillow')}"
    assert found["wandb"].advice == 'to use it: pip install "metarl-suite[wandb]"'


def test_what_is_needed_and_wrong_is_an_exit_code_and_a_sentence(monkeypatch, capsys):
    def falls_over():
        yield Finding("a", "first", "problem", "broken", "mend it", needed=True)
        raise RuntimeError("no [brackets] are markup")

    monkeypatch.setattr(doctor, "CHECKS", (falls_over,))
    assert main(["doctor"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "problem first broken → mend it" in printed
    assert "could not be examined: RuntimeError: no [brackets] are markup" in printed
    assert printed.endswith("before this is in order: first, falls over")


@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_the_width(width, capsys, monkeypatch):
    checks = (installation_checks.python_and_packages, installation_checks.extras)
    monkeypatch.setattr(doctor, "CHECKS", (*checks, installation_checks.variables))
    monkeypatch.setattr(output, "WIDTH_WITHOUT_TERMINAL", width)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(0 < len(line.strip()) < 4 for line in lines) <= 0.02 * len(lines)


def test_a_folder_that_cannot_be_written_is_told(monkeypatch):
    def full(**options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine_checks.tempfile, "NamedTemporaryFile", full)
    (found,) = machine_checks.folders()
    assert (found.state, found.needed) == ("problem", True)
    assert "No space left on device" in found.words


def test_without_torch_it_still_examines_the_rest(tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise OSError('libtorch.so: no such file')\n")
    path = os.pathsep.join([str(broken), *sys.path])
    done, _, found = doctor_in_a_process(tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    torch = found["packages", "torch"]
    assert torch["words"].endswith("cannot be imported: OSError: libtorch.so: no such file")
    assert found["workers", "processes"]["state"] == "problem"
    assert found["folders", "runs"]["state"] == "ok"
    assert found["plug-ins", f"metarl-suite {__version__}"]["state"] == "ok"
    assert "Traceback" not in done.stderr
