"""What a search varies: how it is written, and what is refused."""

import dataclasses

import pytest

from metarl.api.starting_point import starting_point
from metarl.config.plugins import load_preset
from metarl.config.preset_text import preset_text
from metarl.config.search_space import Choices, Span, flags_of, read_space
from metarl.foundation.errors import ConfigError


@pytest.fixture(scope="module")
def navigation():
    return starting_point("navigation-2d")


def read(start, vary):
    return read_space(vary, start.config, start.settings)


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("inner_learning_rate", "0.01..1", Span(0.01, 1.0)),
        ("inner_learning_rate", "1e-3..1:log", Span(0.001, 1.0, log=True)),
        ("inner_learning_rate", "0.1,1", Choices((0.1, 1.0))),
        ("inner_learning_rate", [1, 0.1], Choices((1.0, 0.1))),
        ("episodes_per_task", "5..20", Span(5, 20)),
        ("cg_iterations", "5..20:log", Span(5, 20, log=True)),
        ("hidden_sizes", "32,64 64", Choices(((32,), (64, 64)))),
        ("hidden_sizes", [[32], (64, 64), ()], Choices(((32,), (64, 64), ()))),
        ("first_order", "true,false", Choices((True, False))),
        ("activation", "relu, tanh", Choices(("relu", "tanh"))),
        ("initial_policy", "a..b.zip,c.zip", Choices(("a..b.zip", "c.zip"))),
    ],
)
def test_it_is_read_by_the_type_of_the_field(name, wanted, found, navigation):
    assert read(navigation, {name: wanted}) == {name: found}
    if isinstance(wanted, str):
        assert read(navigation, {name: str(found)}) == {name: found}  # as it is written


def test_fields_stand_in_one_order(navigation):
    vary = {"max_kl": "0.01..0.1", "discount": "0.9..1"}
    assert list(read(navigation, vary)) == ["discount", "max_kl"]


@pytest.mark.parametrize(
    ("vary", "complaint"),
    [
        ({}, "name what to vary"),
        ({"inner_learing_rate": "0..1"}, "did you mean 'inner_learning_rate'?"),
        ({"env_kwargs": "1..2"}, "there is no field 'env_kwargs' that a flag sets"),
        ({"seed": "1..5"}, "to train each trial with several, give the seeds"),
        ({"iterations": "1..5"}, "is the budget"),
        ({"env_steps": "1..5"}, "is the budget"),
        ({"agent": "promp,reptile"}, "tune each agent by itself"),
        ({"horizon": "10..20"}, "decides on the tasks"),
        ({"training_tasks": "10..20"}, "decides on the tasks"),
        ({"observe_task": "true,false"}, "decides on the tasks"),
        ({"checkpoint_interval": "1..5"}, "says how the run is computed"),
        ({"test_tasks": "10..20"}, "is for evaluations alone"),
        ({"max_kl": "1..0.1"}, "1.0 is not below 0.1"),
        ({"max_kl": "1..1"}, "1.0 is not below 1.0"),
        ({"max_kl": "0..1:log"}, "on a logarithmic scale 0.0 must be above 0"),
        ({"max_kl": "-1..1:log"}, "on a logarithmic scale -1.0 must be above 0"),
        ({"max_kl": "0.1.."}, "a value is missing"),
        ({"max_kl": "0.1..inf"}, "'inf' is not finite"),
        ({"max_kl": "low..high"}, "'low' is not a number"),
        ({"max_kl": "0.1"}, "one value is nothing to vary"),
        ({"max_kl": ""}, "a value is missing"),
        ({"max_kl": "0.1,0.10"}, "'0.1' is there twice"),
        ({"max_kl": 0.1}, "must be a text, as LOW..HIGH, or a list of choices"),
        ({"cg_iterations": "1.5..3"}, "'1.5' is not a whole number"),
        ({"first_order": "yes,no"}, "'yes' must be true or false"),
        ({"hidden_sizes": "8..64"}, "this field takes no number; list choices"),
        ({"hidden_sizes": "8 x,8"}, "'x' is not a whole number"),
    ],
)
def test_what_cannot_be_varied_is_refused_with_the_reason(vary, complaint, navigation):
    with pytest.raises(ConfigError) as error:
        read(navigation, vary)
    assert complaint in str(error.value)


def test_of_a_supervised_problem_what_makes_the_tasks_is_not_varied():
    sinusoid = starting_point("sinusoid")
    assert read(sinusoid, {"outer_learning_rate": "1e-4..1e-2:log"})
    own = dataclasses.fields(sinusoid.settings)[0].name
    for name in (own, "shots", "record_interval"):
        with pytest.raises(ConfigError, match=f"vary {name}: this field"):
            read(sinusoid, {name: "1..2"})


def test_flags_are_those_of_training(navigation):
    fields = {"max_kl": 0.5, "hidden_sizes": (8, 4), "first_order": True, "cg_iterations": 3}
    flags = flags_of({**fields, "activation": "relu"}, navigation.config, navigation.settings)
    assert " ".join(flags) == (
        "--max-kl 0.5 --hidden-sizes 8 4 --first-order --cg-iterations 3 --activation relu"
    )
    assert flags_of({"first_order": False}, navigation.config, navigation.settings) == [
        "--no-first-order"
    ]
    assert flags_of({"env_kwargs": {}}, navigation.config, navigation.settings) is None


@pytest.mark.parametrize(
    "name", ["navigation-2d", "pendulum-wrapped", "grid-navi-varibad", "omniglot-5-way-1-shot"]
)
def test_a_configuration_written_as_a_preset_is_read_as_the_same(name, tmp_path):
    config = starting_point(name).config
    config = dataclasses.replace(config, description='"ü"\n\\ \x7f \t', inner_learning_rate=1e-7)
    file = tmp_path / f"{name}.toml"
    file.write_text(preset_text(config), encoding="utf-8")
    read_again = load_preset(str(file))
    assert read_again.to_json() == config.to_json()
