"""A GPU that fails in the middle of a run, as torch says it: the run is saved and goes on."""

import pytest
import torch
from faulty_runs import config_of
from sessions import newest_checkpoint, records

from metarl.api.training_session import run_training
from metarl.cli import main
from metarl.experiments.problem_learner import OuterOptimiser
from metarl.foundation.device_errors import device_failure
from metarl.foundation.errors import DeviceError
from metarl.reports.progress import FunctionDisplay
from metarl_agents.maml_trpo import MamlTrpo

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "2", "--episodes-per-task", "2", "--horizon", "3"]
SMALL += ["--hidden-sizes", "3", "--iterations", "4", "--checkpoint-interval", "10"]
TRAIN = ["train", "navigation-2d", *SMALL, "--workers", "0", "--no-tensorboard", "--run-dir"]
ILLEGAL = "CUDA error: an illegal memory access was encountered"
ERRORS = {
    "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has …"),
        "fewer --workers take less of the card's memory",
    ),
    f"AcceleratorError: {ILLEGAL}": (
        torch.AcceleratorError(f"{ILLEGAL}\nCUDA kernel errors might be …"),
        "see whether nvidia-smi shows the card",
    ),
    "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": (
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        "see whether nvidia-smi shows the card",
    ),
}


def failing_once(function, error, call):
    """The function, which raises an error in one of its calls."""
    calls = []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise error
        return function(*args, **kwargs)

    return failing


@pytest.mark.fault(
    "device",
    "a GPU runs out of memory, or its driver fails, in the middle of an iteration",
    "the last whole iteration is saved; one line says what the driver told and the command that "
    "goes on, to the bits of an undisturbed run; the exit code is 1",
    group="platform",
)
@pytest.mark.parametrize("told", list(ERRORS))
def test_a_card_that_fails_leaves_a_run_that_goes_on(told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    error, advice = ERRORS[told]
    assert main([*TRAIN, "whole"]) == 0
    failing = failing_once(MamlTrpo.improve, error, call=3)
    monkeypatch.setattr(MamlTrpo, "improve", failing)
    assert main([*TRAIN, "r"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"metarl train: error: device cpu failed in iteration 3 ({told}); iteration 2 is saved; "
        f"{advice}"
    )
    assert line.endswith("then go on with: metarl train navigation-2d --run-dir r --resume")
    assert newest_checkpoint("r")[0] == "iteration-000002"
    assert len(records("r")) == 2
    assert main(["train", "--run-dir", "r", "--workers", "0", "--resume"]) == 0
    assert (records("r"), newest_checkpoint("r")) == (records("whole"), newest_checkpoint("whole"))


def test_an_error_of_a_workers_device_is_told_in_the_same_way(tmp_path):
    config = config_of("card", marker=str(tmp_path / "failed"))
    run_dir = tmp_path / "r"
    with pytest.raises(DeviceError) as failure:
        run_training(config, run_dir, display=FunctionDisplay(None), workers=1, tensorboard=False)
    assert str(failure.value).startswith(
        "device cpu failed in iteration 1 (OutOfMemoryError: CUDA out of memory. Tried to allocate "
        "2.00 GiB.); iteration 0 is saved; fewer --workers"
    )
    assert "The worker's traceback:" in str(failure.value.__cause__)
    assert newest_checkpoint(run_dir)[0] == "iteration-000000"


def test_a_supervised_problem_is_saved_as_well(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--tasks-per-batch", "2", "--hidden-sizes", "3", "--iterations", "4"]
    small += ["--record-interval", "1", "--checkpoint-interval", "10", "--no-tensorboard"]
    error = torch.AcceleratorError(ILLEGAL)
    monkeypatch.setattr(OuterOptimiser, "step", failing_once(OuterOptimiser.step, error, call=3))
    assert main(["train", "sinusoid", *small, "--run-dir", "r"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"failed in iteration 3 (AcceleratorError: {ILLEGAL}); iteration 2 is saved" in line
    assert newest_checkpoint("r")[0] == "iteration-000002"


def test_an_error_of_a_computation_is_none_of_the_device():
    assert device_failure(RuntimeError("expected all tensors on cuda:0, but found cpu")) is None
    assert device_failure(MemoryError("out of memory")) is None


def fail_and_close():
    try:
        raise torch.AcceleratorError(ILLEGAL)
    finally:
        raise ValueError("cannot free the worlds")


def test_a_device_is_found_behind_an_error_that_came_of_closing_things():
    with pytest.raises(ValueError, match="worlds") as failure:
        fail_and_close()
    assert device_failure(failure.value) == f"AcceleratorError: {ILLEGAL}"
