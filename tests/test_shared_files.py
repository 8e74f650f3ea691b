"""What of a run folder is shared, and what it says of the machine when it is."""

import pytest

from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.files import MEBIBYTE, readable_size
from metarl.runs.shared_files import files_of_folder, is_shared, select
from metarl.runs.without_machine import (
    command_without_machine,
    config_without_machine,
    without_paths,
)
from metarl.tasks.attribute_paths import parse_path
from metarl.tasks.distribution import make_environment

CHECKPOINT = {
    f"checkpoints/iteration-000010/{name}": 5
    for name in ("manifest.json", "state.json", "parameters.safetensors")
}
OLDER = {name.replace("10", "09"): size for name, size in CHECKPOINT.items()}
RUN = {"config.json": 10, **CHECKPOINT}


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("config.json", True, True),
        ("evaluation-right.json", True, True),
        ("videos/task-1.webp", True, True),
        ("evaluation.svg", True, False),
        ("report.html", True, False),
        ("checkpoints/iteration-000010/experience.safetensors", False, False),
        ("checkpoints/iteration-000010/parameters.pkl", False, False),
        ("checkpoints/iteration-000010.set-aside/state.json", False, False),
        ("videos/../config.json", False, False),
        ("videos/.hidden.mp4", False, False),
        ("config.json\n", False, False),
        ("failures/episode-1-0-0.json", False, False),
        ("hub.json", False, False),
        ("setup.py", False, False),
        ("tensorboard/events.out.tfevents.1.host", False, False),
    ],
)
def test_kinds_of_files(name, ours, theirs):
    assert is_shared(name, by_stranger=False) == ours
    assert is_shared(name, by_stranger=True) == theirs


def test_the_newest_checkpoint_that_is_complete_is_shared():
    newer = {"checkpoints/iteration-000011/state.json": 5, "checkpoints/iteration-000010/x": 7}
    chosen = select({**RUN, **OLDER, **newer}, "r", by_stranger=False)
    assert set(chosen.files) == set(RUN)
    assert chosen.left_out == {**OLDER, **newer}
    assert chosen.checkpoint == "checkpoints/iteration-000010"
    chosen = select({**RUN, **OLDER}, "r", by_stranger=False, iteration=9)
    assert chosen.checkpoint == "checkpoints/iteration-000009"


def test_what_is_too_large_is_refused_or_left_out():
    parameters = "checkpoints/iteration-000010/parameters.safetensors"
    with pytest.raises(RunFolderError, match=r"r: checkpoints/.* has 2.2 GB, more than is shared"):
        select({**RUN, parameters: 2100 * MEBIBYTE}, "r", by_stranger=True)
    with pytest.raises(RunFolderError, match=r"config.json has 2.1 MB, more than is shared \(1.05"):
        select({**RUN, "config.json": 2 * MEBIBYTE}, "r", by_stranger=True)
    clip = {"videos/task.mp4": 257 * MEBIBYTE}
    assert select({**RUN, **clip}, "r", by_stranger=True).left_out == clip
    clips = {f"videos/task-{number}.mp4": 250 * MEBIBYTE for number in range(17)}
    with pytest.raises(RunFolderError, match=r"what is shared has 4\.46 GB, more than"):
        select({**RUN, **clips}, "r", by_stranger=True)


def test_sizes_are_readable():
    assert [readable_size(it) for it in (5, 1234, 10**6, 2_345_678_901)] == [
        "5 B",
        "1.23 kB",
        "1 MB",
        "2.35 GB",
    ]


def test_no_link_is_followed(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "task.mp4").write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "videos").symlink_to(tmp_path / "secret")
    (folder / "metrics.jsonl").symlink_to(tmp_path / "secret" / "task.mp4")
    (folder / "config.json").write_text("{}")
    assert files_of_folder(folder) == {"config.json": 2}


@pytest.mark.parametrize(
    ("command", "shared"),
    [
        ("metarl train navigation-2d --seed 3", "metarl train navigation-2d --seed 3"),
        ("metarl train ~/my.toml --run-dir=/x/y --horizon 3", "metarl train my.toml --horizon 3"),
        ("metarl train '../Jo Doe/p.toml' --workers ray", "metarl train p.toml"),
        ("metarl train --wandb mine --env-id a.b:c/D-v0", "metarl train --env-id a.b:c/D-v0"),
        ("/home/jo/.venv/bin/metarl train x", "metarl train x"),
        (
            "metarl.train('/home/jo doe/p.toml', initial_policy='~jo/a.zip', seed=2)",
            "metarl.train('p.toml', initial_policy='a.zip', seed=2)",
        ),
        ("metarl train 'open", ""),
    ],
)
def test_commands_without_folders(command, shared):
    assert command_without_machine(command) == shared


def test_values_without_folders_keep_what_is_no_path():
    kept = ["arXiv https://arxiv.org/abs/1703.03400", "a/b", "3/4", "metarl_envs:metarl/X-v0", 2.5]
    assert without_paths(kept) == kept
    table = {"folder": "/home/jo/my images", "task": {"of": "file:///home/jo/x"}, "n": [1, None]}
    assert without_paths(table) == {"folder": "my images", "task": {"of": "x"}, "n": [1, None]}
    assert config_without_machine({"initial_policy": "", "seed": 1}) == {
        "initial_policy": "",
        "seed": 1,
    }


@pytest.mark.parametrize("name", ["__class__", "world.__dict__", "reset.__func__.x"])
def test_a_task_sets_nothing_of_python_s_own(name):
    with pytest.raises(ConfigError, match="is no path of attributes"):
        parse_path(name)


@pytest.mark.parametrize("family", ["os:system", "antigravity", "metarl_envs.ant:Path"])
def test_an_environment_of_ours_calls_no_function_that_a_configuration_names(family, tmp_path):
    kwargs = {"family": family, "command": f"touch {tmp_path / 'harm'}"}
    with pytest.raises(ConfigError, match=r"family = .* is none of a registered environment"):
        make_environment("metarl_envs:metarl/HalfCheetahDir-v0", kwargs)
    assert not (tmp_path / "harm").exists()
