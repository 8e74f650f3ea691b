"""Figures as parts of a page: in the page's colours, and with points that say their numbers.

The page's style gives the variables --figure-0 to --figure-9, one for each of matplotlib's colours,
and the page's script shows what the point nearest to the pointer says.
"""

import hashlib
import html
import io
import re

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metarl.reports.tables import most_rows

_SCALE = 0.84
"""Of a figure's size, while its text keeps its own: a telephone shows figures smaller."""
_INK = ("#000000", "#333333", "#4c4c4c")
"""Black, and the greys that matplotlib calls 0.2 and 0.3."""
_UNWANTED = r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>"


def inline_svg(figure: Figure, text: str) -> str:
    """Give a figure as an SVG element; the same figure gives the same text.

    Args:
        figure: what to draw. It is changed: smaller, and with invisible points.
        text: what it shows, for those who do not see it.

    """
    width, height = figure.get_size_inches()
    figure.set_size_inches(_SCALE * width, _SCALE * height)
    for axes in figure.axes:
        _lay_points(axes)
    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "metarl", "svg.fonttype": "none"}):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(drawn, format="svg", metadata=metadata, transparent=True)
    svg = drawn.getvalue().decode()
    svg = re.sub(_UNWANTED, "", svg[svg.index("<svg ") :], flags=re.DOTALL)
    svg = _with_own_names(_in_the_colours_of_the_page(svg))
    svg = re.sub(r'<a xlink:href="([^"]*)"[^>]*>', r'<g data-says="\1">', svg).replace(
        "</a>", "</g>"
    )
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(text)}" ', 1)


def _lay_points(axes: Axes) -> None:
    """Lay an invisible point, with its numbers as address, over each point of what has a name."""
    named = [(str(it.get_label()), np.asarray(it.get_xydata())) for it in axes.get_lines()]
    named += [
        (str(it.get_label()), np.asarray(it.get_offsets()))
        for it in axes.collections
        if isinstance(it, PathCollection)
    ]
    for label, points in named:
        if label.startswith("_") or not len(points):
            continue
        x, y = points[most_rows(len(points))].astype(float).T
        name = label.replace(r"\$", "$")
        said = [
            f"{name}, at {_number(one)}: {_number(other)}" for one, other in zip(x, y, strict=True)
        ]
        axes.scatter(x, y, s=30, alpha=0, urls=said)


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _in_the_colours_of_the_page(svg: str) -> str:
    for ink in _INK:
        svg = svg.replace(ink, "currentColor")
    for number in range(10):
        svg = svg.replace(to_hex(f"C{number}"), f"var(--figure-{number})")
    return svg


def _with_own_names(svg: str) -> str:
    """Name the figure's elements so that no other figure on the page has such a name."""
    own = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    return re.sub(r'( id="|xlink:href="#|url\(#)', rf"\1{own}-", svg)
