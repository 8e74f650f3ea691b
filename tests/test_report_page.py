"""The page as a browser without a screen lays it out, at the widths of a telephone and of screens.

Nothing is trained: the runs are committed ones.
"""

import html
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from metarl.cli import main
from metarl.foundation.stopwatch import duration
from metarl.reports.clip_returns import ClipReturns, write_clip_returns
from metarl.reports.inline_figures import inline_svg
from metarl.reports.tables import most_rows, series_of, table_by_iteration
from metarl.reports.video import write_clip

pytestmark = pytest.mark.whole_runs

RESULTS = Path(__file__).parent.parent / "results"
WIDTHS = (400, 800, 1400)
SCREEN = 900
CLIP = ClipReturns("task [0.1, 0.2]", ["before adaptation", "after 1 step"], [-51.25, -9.5], [9, 8])

MEASURE = """
<script>
addEventListener("load", () => {
  const seen = document.documentElement.clientWidth;
  const wide = (it) => it.getBoundingClientRect().right > seen + 0.5;
  const cut = (it) => it.parentElement.closest(".scroll, pre, svg");
  const luminance = (colour) => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((it) => {
      const part = it / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (it) => {
    const own = getComputedStyle(it).backgroundColor;
    return own === "rgba(0, 0, 0, 0)" && it.parentElement ? ground(it.parentElement) : own;
  };
  const contrast = (it) => {
    const style = getComputedStyle(it);
    const seen = luminance(it.closest("svg") ? style.fill : style.color);
    const [high, low] = [seen, luminance(ground(it))].sort().reverse();
    return (high + 0.05) / (low + 0.05);
  };
  const texts = "h1, h2, p, td, th, small, a, summary, code, figcaption, .plot text";
  const plots = [...document.querySelectorAll("figure.plot")].map((it) => {
    const { width, height } = it.querySelector("svg").getBoundingClientRect();
    const rows = it.querySelectorAll("details table tbody tr").length;
    return { name: it.querySelector("svg").getAttribute("aria-label"), width, height, rows };
  });
  const point = document.querySelector("[data-says]");
  const { x, y } = point.getBoundingClientRect();
  point.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y, bubbles: true }));
  const said = document.querySelector(".said-by-point");
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")];
  parent.postMessage({
    width: innerWidth,
    scrolled: document.documentElement.scrollWidth,
    tooWide: [...document.body.querySelectorAll("*")]
      .filter((it) => wide(it) && !cut(it)).map((it) => it.outerHTML.slice(0, 80)),
    summary: document.getElementById("summary").getBoundingClientRect().bottom,
    plots,
    point: point.dataset.says,
    said: said.hidden ? "" : said.textContent,
    levels: headings.map((it) => Number(it.tagName[1])),
    pale: [...document.querySelectorAll(texts)].filter((it) => contrast(it) < 4.5)
      .map((it) => it.outerHTML.slice(0, 80)),
    paper: getComputedStyle(document.body).backgroundColor,
  }, "*");
});
</script>
"""

FRAMES = """
<body><script>
const found = [];
addEventListener("message", ({ data }) => {
  found.push(data);
  if (found.length === WIDTHS.length) {
    document.body.append(Object.assign(document.createElement("pre"), {
      id: "found", textContent: JSON.stringify(found),
    }));
  }
});
const WIDTHS = LIST;
for (const width of WIDTHS) {
  const frame = Object.assign(document.createElement("iframe"), { width, height: SCREEN });
  frame.src = "measured.html";
  document.body.append(frame);
}
</script></body>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of a run on an environment, with a clip, and of one on a problem."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("navigation-2d", "sinusoid"):
        shutil.copytree(RESULTS / name, folder / name)
    clip = folder / "navigation-2d" / "videos" / "task.gif"
    write_clip(clip, [np.full((60, 1200, 3), shade, np.uint8) for shade in (0, 255)], 20)
    write_clip_returns(clip, CLIP)
    runs = [str(folder / name) for name in ("navigation-2d", "sinusoid")]
    assert main(["report", *runs, "-o", str(folder / "page.html")]) == 0
    return folder / "page.html"


def text_between(page, first, last):
    found = page.read_text().partition(first)[2].partition(last)[0]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found)))


def test_the_summary_says_what_how_well_how_long_and_by_which_command(page):
    said = text_between(page, '<header id="summary">', "</header>")
    found = json.loads((RESULTS / "navigation-2d/evaluation.json").read_text())
    for mean, (low, high) in zip(found["mean_return"], found["ci95"], strict=True):
        assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in said
    one_step = found["mean_return"][1]
    for words in (
        "A point finds a hidden goal in the plane. Agent: maml-trpo .",
        "Source: Finn, Abbeel, Levine 2017",
        f"published -11.68 difference {one_step + 11.68:+.2f}",
        "published 0.67 difference -0.037",
        "100 of 100 7,255,709 1 min 5 s",
        "60,000 of 60,000",
        "AMD EPYC, 2 cores",
        "metarl train sinusoid --no-tensorboard --run-dir results/sinusoid",
        f"metarl train navigation-2d --run-dir {page.parent}/navigation-2d --resume",
    ):
        assert words in said, words


def test_the_returns_of_a_clip_stand_beside_it(page):
    said = text_between(page, '<h2 id="videos">', "</figure>")
    assert "task [0.1, 0.2]" in said
    assert "before adaptation -51.25 9 after 1 step -9.50 8" in said


def test_the_page_may_ask_for_nothing(page):
    text = page.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    allowed = dict(it.strip().split(" ", 1) for it in policy.split(";"))
    assert allowed.pop("default-src") == "'none'"
    assert set(allowed.values()) == {"data:", "'unsafe-inline'"}
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"\w+://[^\"'\s<]*", text)) <= names


@pytest.fixture(scope="module", params=["light", "dark"])
def laid_out(request, page):
    """What a browser says of the page, by width, and by the colours that a reader prefers."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    folder = page.parent
    measured = page.read_text().replace("</body>", MEASURE + "</body>")
    (folder / "measured.html").write_text(measured)
    frames = FRAMES.replace("LIST", str(list(WIDTHS))).replace("SCREEN", str(SCREEN))
    (folder / "frames.html").write_text(frames)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
    options += [f"--blink-settings=preferredColorScheme={int(request.param == 'light')}"]
    done = subprocess.run(
        [browser, *options, "--dump-dom", (folder / "frames.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    # A request, too, would be told here: the page's policy refuses it.
    assert "CONSOLE" not in done.stderr, done.stderr
    found = json.loads(html.unescape(re.search('<pre id="found">(.*?)</pre>', done.stdout)[1]))
    by_width = {it["width"]: it for it in found}
    assert sorted(by_width) == list(WIDTHS)
    assert (by_width[400]["paper"] == "rgb(255, 255, 255)") == (request.param == "light")
    return by_width


def test_nothing_is_wider_than_the_window(laid_out):
    for width, found in laid_out.items():
        assert found["scrolled"] <= width
        assert not found["tooWide"]


def test_the_summary_fits_on_one_screen(laid_out):
    assert laid_out[1400]["summary"] <= SCREEN


def test_every_figure_is_drawn_and_has_a_table(laid_out):
    for width, found in laid_out.items():
        names = [it["name"] for it in found["plots"]]
        assert len(set(names)) == len(names) >= 8
        for plot in found["plots"]:
            assert 300 < plot["width"] < width
            assert plot["height"] > 100
            assert plot["rows"], plot["name"]


def test_the_nearest_point_says_its_numbers(laid_out):
    for found in laid_out.values():
        assert re.fullmatch(r".*maml-trpo, before adaptation, at 1: -\d+\.\d+", found["point"])
        assert found["said"] == found["point"]


def test_the_page_is_readable_and_its_headings_are_in_order(laid_out):
    for found in laid_out.values():
        assert not found["pale"]
        levels = found["levels"]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_a_figure_is_the_same_each_time_and_shares_no_name_with_another():
    def drawn(last, label):
        figure = Figure()
        figure.add_subplot().plot([0, 1], [2, last], label=label)
        return inline_svg(figure, "what <it> shows")

    one, other = drawn(3, "<b>&"), drawn(4, "<b>&")
    assert one == drawn(3, "<b>&")
    names = [set(re.findall(r'\bid="([^"]*)', it)) for it in (one, other)]
    assert names[0]
    assert not names[0] & names[1]
    assert 'aria-label="what &lt;it&gt; shows"' in one
    assert 'data-says="&lt;b&gt;&amp;, at 1: 3"' in one
    assert "<b>" not in one
    assert "#000000" not in one


def test_the_table_of_several_seeds_has_mean_and_range_as_far_as_all_have_come():
    runs = [
        [{"iteration": 1, "x": 2.0}, {"iteration": 2, "x": 5.0}],
        [{"iteration": 1, "x": 4.0}],
    ]
    columns = {"both": series_of(runs, "x"), "one": series_of(runs[:1], "x")}
    table = table_by_iteration({**columns, "none": series_of(runs, "y")})
    assert table.headings == ["iteration", "both", "one"]
    assert table.rows == [["1", "3 [2, 4]", "2"], ["2", "", "5"]]


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000, 60001])
def test_long_tables_keep_their_ends(count):
    shown = most_rows(count)
    assert len(shown) <= 201
    assert shown == sorted(set(shown))
    assert shown[:1] + shown[-1:] == ([0, count - 1] if count else [])
    if count <= 200:
        assert len(shown) == count


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (9.94, "9.9 s"),
        (59.6, "1 min 0 s"),
        (65, "1 min 5 s"),
        (3599.7, "1 h 0 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_time_is_said_in_its_two_largest_units(seconds, said):
    assert duration(seconds) == said
