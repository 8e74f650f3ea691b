"""Supervised problems: what every one of them keeps, and the data of each."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from metarl.cli import main
from metarl.config import plugins
from metarl.config.fields import read_fields
from metarl.config.plugins import load_preset, load_problem, preset_names, problem_names
from metarl.config.supervised import SupervisedConfig, read_either
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.tasks.problems import Problem, held_out_episodes, training_episodes
from metarl_envs import characters as drawn_characters
from metarl_envs.characters import Characters
from metarl_envs.image_classes import episodes, split_classes, with_rotations
from metarl_envs.image_folders import ImageFolders
from metarl_envs.omniglot import Omniglot
from metarl_envs.sinusoid import Sinusoid


def images(folder, count, seed=0, size=(9, 9), shade=255):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, shade + 1, size).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}_{seed:02}.png")


@pytest.fixture
def few_characters(monkeypatch):
    """A dozen of the characters, which are quickly drawn."""
    letters = drawn_characters.characters()[:12]
    monkeypatch.setattr(drawn_characters, "characters", lambda: letters)
    drawn_characters.all_drawings.cache_clear()
    yield letters
    drawn_characters.all_drawings.cache_clear()


@pytest.fixture
def built(name, tmp_path, few_characters):
    if name == "image-folders":
        for which in range(8):
            images(tmp_path / f"class{which}", 5, which)
        return ImageFolders(str(tmp_path), ways=2, side=6)
    if name == "omniglot":
        for which in range(6):
            part = ("images_background", "images_evaluation")[which % 2]
            images(tmp_path / part / f"Alphabet{which}" / "character01", 5, which)
        return Omniglot(str(tmp_path), ways=2, training_characters=4)
    return read_fields(load_problem(name), {"ways": 2} if name == "characters" else {}, name)


@pytest.mark.parametrize("name", [origin.name for origin in problem_names()])
def test_every_problem_keeps_what_the_protocol_says(built):
    assert isinstance(built, Problem)
    classes = built.loss == "cross-entropy"
    each = built.outputs if classes else 1
    for split in Split:
        generators = [np.random.default_rng(5) for _ in range(3)]
        one = built.sample(generators[0], split, 1, 1, 2)
        two = built.sample(generators[1], split, 1, 3, 2)
        again = built.sample(generators[2], split, 1, 3, 2)
        assert np.array_equal(one.query_inputs, two.query_inputs)  # whatever the shots
        assert np.array_equal(one.query_targets, two.query_targets)
        assert np.array_equal(two.support_inputs, again.support_inputs)
        assert one.support_inputs.shape == (1, each, *built.input_shape)
        assert two.support_inputs.shape == (1, 3 * each, *built.input_shape)
        target = () if classes else (built.outputs,)
        assert two.query_targets.shape == (1, 2 * each, *target)
        if classes:
            assert sorted(two.support_targets[0]) == sorted([*range(built.outputs)] * 3)
            assert 0 <= two.support_inputs.min() <= two.support_inputs.max() <= 1
        if built.numbers_told:
            assert two.told.shape == (1, built.numbers_told)


def test_iterations_and_held_out_tasks_have_streams_of_their_own():
    problem = Sinusoid()
    first, second = (training_episodes(problem, 1, at, 4, 5, 5) for at in (1, 2))
    assert not np.array_equal(first.told, second.told)
    few, more = (held_out_episodes(problem, 1, tasks, 5, 5) for tasks in (3, 6))
    assert np.array_equal(few.support_inputs, more.support_inputs[:3])
    tuning = held_out_episodes(problem, 1, 3, 5, 5, split=Split.TRAIN)
    assert not np.isin(tuning.told, more.told).any()


def test_sine_waves_by_the_formula():
    drawn = Sinusoid().sample(np.random.default_rng(0), Split.TEST, 2000, 3, 2)
    amplitude, phase = drawn.told[:, :1, None], drawn.told[:, 1:, None]
    for x, y in (
        (drawn.support_inputs, drawn.support_targets),
        (drawn.query_inputs, drawn.query_targets),
    ):
        np.testing.assert_allclose(y, amplitude * np.sin(x - phase))
        assert -5 <= x.min() < -4.9
        assert 4.9 < x.max() <= 5
    assert (0.1, 0) <= tuple(drawn.told.min(0)) < (0.11, 0.01)
    assert (4.95, 3.1) < tuple(drawn.told.max(0)) <= (5, np.pi)


def test_support_and_query_share_no_image_and_labels_follow_classes():
    # Every pixel of drawing d of class c is 16 c + d.
    classes = [
        np.full((8, 1, 2, 2), 16 * number, np.uint8)
        + np.arange(8, dtype=np.uint8)[:, None, None, None]
        for number in range(10)
    ]
    found = episodes(classes, np.random.default_rng(0), 50, 4, 3, 5)
    support, query = (
        np.round(255 * part[..., 0, 0, 0]).astype(int)
        for part in (found.support_inputs, found.query_inputs)
    )
    for task in range(50):
        assert not set(support[task]) & set(query[task])
        meant = {}
        for value, label in zip(
            [*support[task], *query[task]],
            [*found.support_targets[task], *found.query_targets[task]],
            strict=True,
        ):
            assert meant.setdefault(label, value // 16) == value // 16
        assert len(set(meant.values())) == 4


def test_turned_characters_are_other_characters():
    corner = np.zeros((1, 1, 2, 2), np.uint8)
    corner[..., 0, 0] = 1
    turned = np.concatenate(with_rotations(corner))
    assert len(np.unique(turned.reshape(4, -1), axis=0)) == 4


def test_the_split_is_always_the_same_and_disjoint():
    training, held_out = split_classes(1623, 1200)
    assert (len(training), len(held_out)) == (1200, 423)
    assert set(training) | set(held_out) == set(range(1623))
    assert training == split_classes(1623, 1200)[0]
    assert training[:5] != [0, 1, 2, 3, 4]


def test_characters_of_training_are_never_held_out(few_characters):
    classes = Characters(ways=2)._classes
    seen = {
        split: {drawing.tobytes() for drawing in np.concatenate(of)}
        for split, of in classes.items()
    }
    assert not seen[Split.TRAIN] & seen[Split.TEST]
    assert [len(classes[split]) for split in Split] == [9, 3]
    every = [drawing for of in seen.values() for drawing in of]
    assert len(every) == 12 * drawn_characters.DRAWINGS  # no drawing is made twice


def test_there_are_many_characters_of_many_scripts():
    letters = drawn_characters.characters()
    assert len(letters) > 500
    assert {"K", "Ж", "ξ", "ש"} <= set(letters)
    assert "A" in letters
    assert not {"Α", "А", "É"} & set(letters)  # Greek and Cyrillic A look like A; É has an accent


def test_omniglot_from_folders_and_from_zips_is_the_same(tmp_path):
    root = tmp_path / "python"
    for part, alphabets in (("images_background", "AB"), ("images_evaluation", "C")):
        for number, alphabet in enumerate(alphabets):
            for character in (1, 2):
                folder = root / part / alphabet / f"character{character:02}"
                images(folder, 4, 10 * number + character, size=(105, 105))
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            for file in (root / part).rglob("*.png"):
                archive.write(file, file.relative_to(root))
    unpacked, packed = (
        Omniglot(str(path), ways=2, training_characters=4)._classes for path in (root, tmp_path)
    )
    for split, count in ((Split.TRAIN, 16), (Split.TEST, 8)):  # four characters, two, turned
        assert len(unpacked[split]) == count
        for one, other in zip(unpacked[split], packed[split], strict=True):
            assert one.shape == (4, 1, 28, 28)
            assert np.array_equal(one, other)


def test_omniglots_ink_is_one_and_paper_zero(tmp_path):
    for which in range(3):
        folder = tmp_path / "images_background" / "A" / f"character{which:02}"
        folder.mkdir(parents=True)
        white = np.full((105, 105), 255, np.uint8)
        white[:, :50] = 0
        for number in range(2):
            Image.fromarray(white).save(folder / f"{number}.png")
    (tmp_path / "images_evaluation").mkdir()
    problem = Omniglot(str(tmp_path), ways=2, rotations=False, training_characters=2)
    drawn = problem.sample(np.random.default_rng(0), Split.TRAIN, 1, 1, 1).support_inputs
    assert drawn[0, 0, 0, 14, 2] == 1
    assert drawn[0, 0, 0, 14, -2] == 0


def test_folders_named_train_and_test_are_the_split(tmp_path):
    for part, shade in (("train", 100), ("test", 255)):
        for which in range(3):
            images(tmp_path / part / f"class{which}", 4, which, shade=shade)
    problem = ImageFolders(str(tmp_path), ways=3, side=9)
    highest = {
        split: problem.sample(np.random.default_rng(0), split, 1, 2, 2).query_inputs.max()
        for split in Split
    }
    assert highest[Split.TRAIN] <= 100 / 255 < highest[Split.TEST]


def make_folder(tmp_path, classes, count):
    for which in range(classes):
        images(tmp_path / f"class{which}", count, which)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda path: Omniglot(), "path = '' names no folder; --path names the folder python"),
        (lambda path: Omniglot(str(path / "gone")), "gone' is no folder"),
        (lambda path: Omniglot(str(path)), "there is neither .*images_background nor .*zip"),
        (lambda path: ImageFolders(), "path = '' names no folder"),
        (lambda path: ImageFolders(str(path)), "has 0 training classes of images"),
        (lambda path: ImageFolders(make_folder(path, 20, 3)), "4 images of each class.* has 3"),
        (lambda path: ImageFolders(make_folder(path, 4, 9), 3), "1 held-out classes of images"),
    ],
)
def test_data_that_are_not_there_are_one_clear_error(build, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        build(tmp_path).sample(np.random.default_rng(0), Split.TRAIN, 1, 2, 2)


def test_a_broken_image_is_named(tmp_path):
    path = make_folder(tmp_path, 8, 4)
    (tmp_path / "class0" / "0000_00.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"0000_00\.png cannot be read"):
        ImageFolders(path, ways=2).sample(np.random.default_rng(0), Split.TRAIN, 1, 2, 2)


def test_training_on_an_archive_that_is_not_there_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "omniglot-5-way-1-shot"]) == 2
    assert "--path names the folder python of the Omniglot archive" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


ENTRY_POINTS = """\
[metarl.problems]
mine = stranger_problems:Mine
sinusoid = stranger_problems:Mine
wrong = stranger_problems:WRONG
broken = stranger_broken:Mine
"""
PROBLEM = """\
from dataclasses import dataclass
import numpy as np
from metarl.tasks.problems import Episodes

WRONG = 3


@dataclass(frozen=True)
class Mine:
    "Straight lines through the origin."
    steepest: float = 2.0
    input_shape = (1,)
    outputs = 1
    loss = "mse"
    numbers_told = 0

    def sample(self, generator, split, tasks, shots, queries):
        slope = generator.uniform(-self.steepest, self.steepest, (tasks, 1, 1))
        query, support = (generator.uniform(-1, 1, (tasks, n, 1)) for n in (queries, shots))
        return Episodes(support, slope * support, query, slope * query)
"""
PRESET = """\
description = "lines"
source = "nobody"
problem = "mine"
problem_settings = { steepest = 3.0 }
iterations = 2
record_interval = 1
checkpoint_interval = 1
"""


def test_a_strangers_problem_comes_in_by_the_door_and_a_broken_one_stops_nothing(
    tmp_path, monkeypatch, capsys
):
    about = tmp_path / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "stranger_problems.py").write_text(PROBLEM)
    (tmp_path / "stranger_broken.py").write_text("raise OSError('no licence')\n")
    (tmp_path / "lines.toml").write_text(PRESET)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_named", set())
    monkeypatch.chdir(tmp_path)
    owners = {origin.name: origin.package for origin in problem_names()}
    assert owners["mine"] == "stranger"
    assert owners["sinusoid"] == "metarl-suite"
    assert "metarl-suite has a problem of that name" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="package stranger cannot be loaded: OSError: no licence"):
        load_problem("broken")
    with pytest.raises(ConfigError, match="WRONG is no dataclass but int"):
        load_problem("wrong")
    with pytest.raises(ConfigError, match="did you mean 'sinusoid'"):
        load_problem("sinusoids")
    assert main(["train", "lines.toml", "--no-tensorboard", "--steepest", "1"]) == 0
    assert main(["train", "lines.toml", "--agent", "oracle"]) == 2
    assert "tells an oracle nothing" in capsys.readouterr().err


PRESETS = [
    config
    for origin in preset_names()
    if isinstance(config := load_preset(origin.name), SupervisedConfig)
]


@pytest.mark.parametrize("config", PRESETS, ids=[config.preset for config in PRESETS])
def test_every_preset_is_complete_and_survives_json(config):
    assert config.source
    assert config.description
    read_fields(load_problem(config.problem), config.problem_settings, config.preset)
    assert read_either(json.loads(config.to_json()), "file") == config


def test_settings_are_frozen_dataclasses_with_defaults():
    for origin in problem_names():
        kind = load_problem(origin.name)
        assert dataclasses.is_dataclass(kind)
        kind()
