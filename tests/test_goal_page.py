"""The page on which one chooses a goal computes what metarl does, in Node.js and in a browser."""

import base64
import dataclasses
import functools
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from script_loading import load_script

from metarl.agent.gradient import collect_with_rates
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import TEST_KEY
from metarl.foundation.seeding import Purpose, stream
from metarl.learning.policies import GaussianPolicy
from metarl.runs.run_folder import read_config
from metarl.workers.shards import Shard, to_vector
from metarl_envs.goal_page import page_part

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "choose-a-goal.html"
TOLERANCE = 1e-5

CASES = [
    ("meta-trained", (0.4, 0.3), 20, (0.5,)),
    ("meta-trained", (-0.5, -0.5), 1, (0.5, 0.25, 0.25)),
    ("meta-trained", (0.0, 0.0), 2, (0.001,)),  # some episodes reach it
    ("untrained", (0.5, 0.5), 2, (10.0,)),
    ("untrained", (-0.5, 0.5), 1, (0.5, 0.25, 0.25)),
    ("multitask", (0.5, -0.5), 3, (0.5, 0.25, 0.25)),
]
"""Policy, goal, episodes, and α of each step.

The multitask policy steps over the middle again and again: a difference in the last bit grows by
about a third with every move, so its whole paths cannot be compared, nor what follows from them.
Each move and each step by itself is compared for all policies.
"""

HARNESS = """
const adapted = ({ label, goal, noises, episodes, rates }) => {
  const policy = data.policies.find((it) => it.label === label);
  const flat = noises.map((noise) => Float64Array.from(noise));
  const phases = adapt(policy, decode(policy.theta), goal, flat, episodes, rates);
  return phases.map(({ theta, played, meanReturn }) => ({
    theta: Array.from(theta),
    positions: played.map(({ positions }) => positions),
    meanReturn,
  }));
};
const stepped = ({ label, goal, phases, rates }) => {
  const policy = data.policies.find((it) => it.label === label);
  return rates.map((rate, phase) => {
    const theta = Float64Array.from(phases[phase].theta);
    const move = mover(policy, theta);
    const moved = [];
    const played = phases[phase].episodes.map(({ positions, noise }) => {
      const after = positions.map((position, time) => move(position, noise, 2 * time));
      moved.push(after);
      const rewards = after.map((position) => rewardAt(position, goal));
      return { positions: positions.flat(), noise, rewards };
    });
    return { moved, theta: Array.from(innerStep(policy, theta, played, rate)) };
  });
};
const answers = cases.map((it) => ({ adapted: adapted(it), stepped: stepped(it) }));
"""


@functools.cache
def data():
    """What the page says about its policies."""
    return json.loads(
        re.search(r'<script type="application/json">(.*?)</script>', PAGE.read_text())[1]
    )


@functools.cache
def functions():
    """The page's script, up to where it starts."""
    return re.search(r"<script>\n(.*?)const own = ", PAGE.read_text(), re.DOTALL)[1]


@functools.cache
def shard_of(episodes):
    """A shard over one task of navigation-2d, in double precision."""
    config = dataclasses.replace(read_config(ROOT / "results/navigation-2d"), dtype="float64")
    return Shard(build_experiment(config).shards(1, episodes))


def theta_of(label):
    (policy,) = [it for it in data()["policies"] if it["label"] == label]
    return np.frombuffer(base64.b64decode(policy["theta"]), "<f4").astype(np.float64)


def noise_of(phase, episodes):
    """What metarl draws for a phase's actions."""
    shard = shard_of(episodes)
    streams = [
        stream(shard.config.seed, Purpose.ACTION, *TEST_KEY, phase, 0, episode)
        for episode in range(episodes)
    ]
    return [shard.policy.draw_noise(it, shard.config.horizon).ravel().tolist() for it in streams]


@functools.cache
def expected(label, goal, episodes, rates):
    """Adapt by metarl: θ before and after each step, each phase's positions and mean return."""
    shard = shard_of(episodes)
    (statistics,) = collect_with_rates(shard, theta_of(label), [np.array(goal)], TEST_KEY, rates)
    experience = shard.experience[0]
    thetas = [to_vector(parameters) for parameters in shard.adapted[0]]
    batches = [*experience.supports, experience.query]
    positions = [per_episode(batch.observations.numpy()) for batch in batches]
    return thetas, positions, statistics.mean_returns


def per_episode(positions):
    """Cut a phase's positions where episodes begin, which is at (0, 0)."""
    return np.split(positions, np.flatnonzero((positions == 0).all(axis=1))[1:])


@functools.cache
def cases():
    """The cases, as the page's functions take them."""
    found = []
    for label, goal, episodes, rates in CASES:
        thetas, positions, _ = expected(label, goal, episodes, rates)
        noises = [noise_of(phase, episodes) for phase in range(len(rates) + 1)]
        phases = [
            {
                "theta": theta.tolist(),
                "episodes": [
                    {"positions": at.tolist(), "noise": noise}
                    for at, noise in zip(seen, drawn, strict=True)
                ],
            }
            for theta, seen, drawn in zip(thetas, positions, noises, strict=True)
        ]
        flat = [np.ravel(drawn).tolist() for drawn in noises]
        case = {"label": label, "goal": goal, "episodes": episodes, "rates": rates}
        found.append({**case, "noises": flat, "phases": phases})
    return found


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)


def check(answers):
    """Hold what the page computes to what metarl computes."""
    for case, answer in zip(CASES, answers, strict=True):
        thetas, positions, returns = expected(*case)
        for phase, step in enumerate(answer["stepped"]):
            close(step["theta"], thetas[phase + 1])
            for seen, moved in zip(positions[phase], step["moved"], strict=True):
                close(moved[:-1], seen[1:])
        if case[0] == "multitask":
            continue
        found = zip(answer["adapted"], thetas, positions, returns, strict=True)
        for phase, theta, seen, mean in found:
            close(phase["theta"], theta)
            for ours, theirs in zip(phase["positions"], seen, strict=True):
                close(np.reshape(ours, (-1, 2))[:-1], theirs)
            assert phase["meanReturn"] == pytest.approx(mean, abs=TOLERANCE)


def test_what_is_compared_is_large_enough_to_differ():
    for case in CASES:
        thetas, positions, _ = expected(*case)
        assert abs(thetas[-1] - thetas[0]).max() > 10 * TOLERANCE
        assert len(positions[0]) == case[2]
    reached = expected(*CASES[2])[1]
    assert min(len(episode) for phase in reached for episode in phase) < 100


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_functions_of_the_page_adapt_as_metarl_does(tmp_path):
    script = tmp_path / "page.js"
    given = f"const cases = {json.dumps(cases())};\nconst data = {json.dumps(data())};\n"
    said = "console.log(JSON.stringify(answers));\n})();\n"
    script.write_text(functions() + given + HARNESS + said)
    done = subprocess.run(["node", script], capture_output=True, text=True, check=True, timeout=120)
    check(json.loads(done.stdout))


ADDRESS = "goal=-0.5,0.5&alpha=0.1&episodes=3&steps=2"
SPOKEN = """
<pre id="spoken"></pre>
<script type="module">
const field = document.querySelector(".field");
const label = () => field.getAttribute("aria-label");
const spoken = [label()];
for (const [key, shiftKey] of [["ArrowLeft", false], ["ArrowUp", true], ["Tab", false]]) {
  field.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey }));
  spoken.push(label());
}
const { left, top, width, height } = field.getBoundingClientRect();
for (const [x, y] of [[0.25, 0.75], [0.999, 0.001]]) {
  const place = { clientX: left + x * width, clientY: top + y * height };
  field.dispatchEvent(new MouseEvent("click", place));
  spoken.push(label());
}
document.getElementById("spoken").textContent = JSON.stringify(spoken);
window.location.hash = "#ADDRESS";
</script>
""".replace("ADDRESS", ADDRESS)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The page as a browser without a screen has it, with the cases computed by its functions."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    folder = tmp_path_factory.mktemp("browser")
    own = "const own = document.currentScript.previousElementSibling;"
    noise = "noisesOf(1, 4, 40, 100).map((it) => Array.from(it))"
    report = (
        f"const cases = {json.dumps(cases())};\n"
        f"const data = JSON.parse(own.textContent);\n{HARNESS}"
        'document.body.append(Object.assign(document.createElement("pre"), { id: "answers", '
        f"textContent: JSON.stringify({{ answers, noises: {noise} }}) }}));\n"
    )
    text = PAGE.read_text().replace(own, own + report).replace("</body>", SPOKEN + "</body>")
    page = folder / "page.html"
    page.write_text(text)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000"]
    done = subprocess.run(
        [browser, *options, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr
    return done.stdout


def text_of(shown, element):
    return html.unescape(re.search(rf"<{element}[^>]*>(.*?)</", shown, re.DOTALL)[1])


def test_a_browser_adapts_as_metarl_does(shown):
    check(json.loads(text_of(shown, 'pre id="answers"'))["answers"])


def test_the_goal_moves_by_arrow_keys_and_by_clicks(shown):
    said = [it.partition("goal at ")[2] for it in json.loads(text_of(shown, 'pre id="spoken"'))]
    assert said == [
        "x 0.40, y 0.30",
        "x 0.35, y 0.30",
        "x 0.35, y 0.31",
        "x 0.35, y 0.31",
        "x −0.40, y −0.40",
        "x 0.50, y 0.50",  # never out of the square
    ]


def test_the_numbers_shown_are_metarls_for_the_noise_of_the_page(shown, monkeypatch):
    noises = json.loads(text_of(shown, 'pre id="answers"'))["noises"]
    assert np.std(noises) == pytest.approx(1, abs=0.02)
    returns = []
    for label in ("meta-trained", "untrained"):
        drawn = iter([np.reshape(phase, (-1, 100, 2))[it] for phase in noises for it in range(3)])
        monkeypatch.setattr(GaussianPolicy, "draw_noise", lambda *_, drawn=drawn: next(drawn))
        # The cache must not have the case: the noise is another.
        _, _, means = expected.__wrapped__(label, (-0.5, 0.5), 3, (0.1, 0.05))
        returns.append(f"{means[0]:.1f} → {means[-1]:.1f}".replace("-", "−"))
    said = text_of(shown, 'p class="said" role="status"')
    place, _, numbers = said.partition("Mean returns: ")
    assert place == "Goal at x −0.50, y 0.50. "
    meta_trained, multitask, untrained = numbers.removesuffix(".").split("; ")
    assert meta_trained == f"meta-trained {returns[0]}"
    assert multitask.startswith("multitask −")
    assert untrained == f"untrained {returns[1]}"


def test_the_page_is_what_its_script_writes(tmp_path, monkeypatch):
    written = tmp_path / "page.html"
    monkeypatch.setattr("sys.argv", ["write_goal_page.py", "-o", str(written)])
    monkeypatch.syspath_prepend(ROOT / "scripts")
    load_script("write_goal_page").main()
    assert written.read_text() == PAGE.read_text()


def test_the_page_asks_for_nothing():
    text = PAGE.read_text()
    assert set(re.findall(r"\w+://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}  # a name
    assert all(it.startswith(("#", "data:")) for it in re.findall(r'(?:src|href)="([^"]*)', text))
    for asking in ("url(", "fetch(", "XMLHttpRequest", "import(", "@import", "WebSocket"):
        assert asking not in text


def test_policies_that_the_page_cannot_compute_are_left_out():
    config = read_config(ROOT / "results/navigation-2d")
    curved = dataclasses.replace(config, activation="tanh")
    sizes = [(100, 2), (100, 100), (2, 100)]
    network = np.zeros(2), [(np.zeros(size), np.zeros(size[0])) for size in sizes]
    assert page_part({"curved": (curved, *network)}) == ""
    part = page_part({"curved": (curved, *network), "</script>": (config, *network)})
    assert "curved" not in part
    assert part.count("</script>") == 2
