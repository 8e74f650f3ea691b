"""Write `docs/gallery.md`, a section for each environment, from the environments' docstrings.

`tests/test_site.py` holds the committed page to this script's. Pictures are drawn by --draw alone:

    python scripts/write_gallery.py                       the page
    python scripts/write_gallery.py --draw                the page and all pictures
    python scripts/write_gallery.py --draw Navigation2D   the page and one environment's picture
"""

import argparse
import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
from PIL import Image

import metarl_envs
from metarl.config.plugins import load_preset, preset_names
from metarl.config.supervised import SupervisedConfig

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "metarl-suite"
"""Whose presets the page names."""
FOLDER = Path("images") / "environments"
WIDTH = 240
"""Of the pictures, in pixels."""
STEPS = 12
"""Actions at random before a picture."""
BODIES = ("HalfCheetah", "Ant", "Walker2d")
"""Robots whose environments share a picture."""
ARM = "MetaWorldML1"
"""Stands for its three sets, which are one environment; there is no picture of it here."""
GROUPS = {
    "Points, grids and tables": ("metarl_envs.navigation", "metarl_envs.grid"),
    "Bandits and processes": (
        "metarl_envs.bandits",
        "metarl_envs.tabular",
        "metarl_envs.diagnostics",
    ),
    "Robots": ("metarl_envs.mujoco_single", "metarl_envs.classic_control"),
    "Robots, as Finn et al. 2017 had them": (),
    "Manipulation": ("metarl_envs.meta_world",),
}
"""Headings, and the modules of the environments under them."""

_ABOVE = """\
# Environments

<!-- By scripts/write_gallery.py from the environments' docstrings; change those, not this page. -->

Each environment is a distribution of tasks. The policy never sees the task: it has to find out.
All of them are Gymnasium environments,

```python
import gymnasium as gym

env = gym.make("metarl_envs:metarl/GridNavi-v0", render_mode="rgb_array")
env.reset(seed=1, options={"task": 7})
```

and what learns on them are [presets](presets.md). [My environment](environments.md) says how to
write another one, [somebody else's](wrapped-environments.md) how to train on those of MiniGrid,
Gymnasium-Robotics and others.
"""


def documentation(entry_point: str) -> str:
    """Give the docstring of what `module:name` names, without importing it."""
    module, _, name = entry_point.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
    raise LookupError(entry_point)


def specifications() -> Iterator[tuple[str, str, str]]:
    """Give name, heading and docstring of each environment that comes with metarl."""
    for identity, spec in gym.registry.items():
        name = identity.removeprefix("metarl/").removesuffix("-v0")
        entry_point = str(spec.entry_point)
        module = entry_point.partition(":")[0]
        if not module.startswith("metarl_envs.") or (identity in metarl_envs.NEEDS and name != ARM):
            continue
        (heading,) = [it for it, modules in GROUPS.items() if module in modules]
        if name.endswith("Finn2017"):
            heading = "Robots, as Finn et al. 2017 had them"
        where = "metarl_envs.meta_world:MetaWorld" if name == ARM else entry_point
        yield name, heading, documentation(spec.kwargs.get("family", where))


def presets() -> dict[str, list[str]]:
    """Give the presets of each environment."""
    found: dict[str, list[str]] = {}
    for origin in preset_names():
        config = load_preset(origin.name) if origin.package == PACKAGE else None
        if config is not None and not isinstance(config, SupervisedConfig):
            name = config.env_id.rpartition("/")[2].removesuffix("-v0")
            found.setdefault(name, []).append(origin.name)
    return found


def rows(docstring: str) -> Iterator[tuple[str, str]]:
    """Give the rows of a docstring's table."""
    _, table, *_ = re.split(r"^=+  =+$", docstring, flags=re.MULTILINE)
    for row in re.split(r"\n(?=\S)", table.strip()):
        yield row[:13].strip(), " ".join((row[13:]).split())


def section(name: str, docstring: str, of_environment: list[str]) -> str:
    """Give the section of an environment."""
    first = inspect.cleandoc(docstring).partition("\n\n")[0]
    lines = [f"### {name}", "", " ".join(first.split()), ""]
    identities = [f"`metarl_envs:metarl/{name}-v0`"]
    if name == ARM:
        identities = [f"`metarl_envs:{identity}`" for identity in metarl_envs.NEEDS]
    else:
        lines += [f"![{name}]({(FOLDER / f'{picture(name)}.png').as_posix()})", ""]
    lines += [f"| name | {', '.join(identities)} |", "|---|---|"]
    lines += [f"| {key} | {as_markdown(text)} |" for key, text in rows(docstring)]
    steps = gym.spec(f"metarl/{name}-v0").max_episode_steps
    lines.append(f"| time limit | {steps} step{'s' * (steps != 1)}; a preset's `horizon` |")
    if of_environment:
        lines.append(f"| presets | {', '.join(f'`{it}`' for it in sorted(of_environment))} |")
    return "\n".join(lines) + "\n"


def as_markdown(text: str) -> str:
    """Give a text of a docstring as it may stand in a table: v* is no emphasis, |x| no column."""
    return re.sub(r"[*|]", r"\\\g<0>", text)


def picture(name: str) -> str:
    """Give the name of an environment's picture."""
    for body in BODIES:
        if name.startswith(body):
            return body
    return name


def page() -> str:
    """Give the whole page."""
    of_environments = presets()
    sections: dict[str, list[str]] = {heading: [] for heading in GROUPS}
    for name, heading, docstring in specifications():
        alike = [it for it in of_environments if it == name or (name == ARM and it[:9] == ARM[:9])]
        own = [preset for it in alike for preset in of_environments[it]]
        sections[heading].append(section(name, docstring, own))
    parts = [f"## {heading}\n\n" + "\n".join(own) for heading, own in sections.items()]
    return "\n".join([_ABOVE, *parts])


def draw(name: str, folder: Path) -> None:
    """Draw an environment after some actions at random."""
    env = gym.make(f"metarl/{name}-v0", render_mode="rgb_array")
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            break
    image = Image.fromarray(env.render())
    env.close()
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.BOX)
    folder.mkdir(parents=True, exist_ok=True)
    image.quantize(128).save(folder / f"{picture(name)}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs")
    parser.add_argument("--draw", nargs="*", metavar="ENVIRONMENT", help="draw pictures as well")
    options = parser.parse_args()
    (options.output / "gallery.md").write_text(page(), encoding="utf-8")
    if options.draw is not None:
        for name in options.draw or [name for name, *_ in specifications() if name != ARM]:
            draw(name, options.output / FOLDER)


if __name__ == "__main__":
    main()
