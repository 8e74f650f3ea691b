"""Draw the pictures of `docs/concepts.md`, one for each concept, as SVG.

    python scripts/draw_concepts.py --output docs/images

They have no background, and colours that can be read on white and on black. A test holds the
committed pictures to this script.
"""

import argparse
from html import escape
from pathlib import Path

GREY, BLUE, ORANGE, GREEN = "#7b828c", "#3f83e0", "#dd7420", "#2f9e61"
"""Text and frames; what acts; goals and rewards; what has adapted."""
WIDTH = 600
GOALS = [(0.75, 0.3), (0.3, 0.72), (0.8, 0.8)]
"""Where the goals of the tasks lie, in parts of a panel's sides."""


def page(height, *parts):
    """Give a picture of some height in pixels."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="17" fill="{GREY}">\n'
        f'<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{GREY}"/></marker>'
        f"</defs>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def text(x, y, words, colour=GREY, anchor="middle", weight="normal"):
    """Write a line of words around a point."""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def box(x, y, width, height, colour=GREY, dashed=False):
    """Draw a frame by its upper left corner."""
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="none" '
        f'stroke="{colour}" stroke-width="1.6"{dashes}/>'
    )


def dot(x, y, radius=6, colour=BLUE):
    """Draw a filled circle."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{colour}"/>'


def cloud(x, y, radius, colour=GREEN):
    """Draw a circle that is there in part: what may be."""
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{colour}" fill-opacity="0.22" '
        f'stroke="{colour}" stroke-dasharray="3 3"/>'
    )


def star(x, y, size=9, colour=ORANGE):
    """Draw a goal."""
    arms = [(0, -1), (0.25, -0.25), (1, 0), (0.25, 0.25), (0, 1), (-0.25, 0.25), (-1, 0)]
    points = " ".join(f"{x + size * a:g},{y + size * b:g}" for a, b in [*arms, (-0.25, -0.25)])
    return f'<polygon points="{points}" fill="{colour}"/>'


def arrow(x, y, to_x, to_y):
    """Draw an arrow from one point to another."""
    return (
        f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{GREY}" '
        f'stroke-width="1.6" marker-end="url(#tip)"/>'
    )


def way(points, colour=BLUE):
    """Draw the way of an episode through some points."""
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.2" '
        f'stroke-linejoin="round"/>'
    )


def world(x, y, side, goal, *inside, dashed=False):
    """Draw a square world with its goal, by the upper left corner."""
    across, down = goal
    return "\n".join(
        [box(x, y, side, side, dashed=dashed), *inside, star(x + side * across, y + side * down)]
    )


def tasks():
    """Three tasks of one distribution, and one that is kept for the evaluation."""
    parts = [text(218, 24, "tasks of training")]
    for number, goal in enumerate(GOALS):
        x = 6 + 148 * number
        parts += [
            world(x, 40, 128, goal, dot(x + 64, 104)),
            text(x + 64, 194, f"task {number + 1}"),
        ]
    parts += [
        text(530, 24, "held out", weight="bold"),
        world(466, 40, 128, (0.7, 0.62), dot(530, 104), dashed=True),
        text(530, 194, "a new task"),
        dot(16, 226),
        text(30, 232, "starts here, sees where it is", anchor="start"),
        star(300, 226),
        text(316, 232, "the goal, which it does not see", anchor="start"),
    ]
    return page(246, *parts)


def support_and_query():
    """Episodes before adaptation, adaptation, episodes after it."""
    before = [
        [(84, 136), (54, 106), (44, 80)],
        [(84, 136), (114, 156), (140, 192)],
        [(84, 136), (99, 98), (80, 72)],
        [(84, 136), (44, 156), (26, 184)],
    ]
    after = [
        [(516, 136), (545, 124), (562, 108)],
        [(516, 136), (532, 112), (556, 98)],
        [(516, 136), (550, 108), (566, 92)],
    ]
    return page(
        254,
        text(84, 22, "support episodes", weight="bold"),
        text(84, 44, "by the policy θ"),
        world(6, 56, 160, (0.75, 0.25), *map(way, before), dot(84, 136)),
        arrow(178, 136, 224, 136),
        box(232, 98, 136, 80, GREEN),
        text(300, 132, "adapt", GREEN, weight="bold"),
        text(300, 158, "θ → θ′", GREEN),
        arrow(376, 136, 422, 136),
        text(514, 22, "query episodes", weight="bold"),
        text(514, 44, "by the adapted θ′"),
        world(
            434, 56, 160, (0.8, 0.27), *(way(it, GREEN) for it in after), dot(516, 136, 6, GREEN)
        ),
        text(88, 242, "return before"),
        text(514, 242, "return after"),
    )


def gradient_step():
    """Parameters move; between two steps the policy stays what it is."""
    names = ["θ", "θ′", "θ″"]
    parts = []
    for number, name in enumerate(names):
        x = 54 + 246 * number
        colour = BLUE if number == 0 else GREEN
        parts += [
            f'<circle cx="{x}" cy="72" r="34" fill="none" stroke="{colour}" stroke-width="2"/>',
            text(x, 78, name, colour, weight="bold"),
            text(x, 138, f"{number} step{'s' * (number != 1)}"),
        ]
        if number < 2:
            parts += [
                arrow(x + 40, 72, x + 206, 72),
                text(x + 123, 32, "20 episodes"),
                text(x + 123, 56, "by this policy"),
                text(x + 123, 102, "a gradient step"),
                text(x + 123, 126, "− α ∇ loss"),
            ]
    return page(150, *parts)


def trial():
    """A hidden state goes through the episodes of a trial; the world starts again with each."""
    goal = (0.78, 0.3)
    ways = [
        [(0.2, 0.8), (0.2, 0.2), (0.5, 0.2), (0.5, 0.8), (0.78, 0.8), (0.78, 0.36)],
        [(0.2, 0.8), (0.5, 0.6), (0.76, 0.36)],
        [(0.2, 0.8), (0.76, 0.36)],
    ]
    parts = [text(300, 22, "one trial, one task", weight="bold")]
    for number, places in enumerate(ways):
        x = 6 + 228 * number
        inside = way([(x + 132 * a, 62 + 132 * b) for a, b in places])
        parts += [
            text(x + 66, 52, f"episode {number + 1}"),
            world(x, 62, 132, goal, inside, dot(x + 26, 168)),
        ]
        if number < 2:
            parts += [text(x + 180, 124, "start"), text(x + 180, 146, "again")]
    parts += [
        f'<line x1="8" y1="218" x2="574" y2="218" stroke="{GREEN}" stroke-width="5" '
        f'stroke-linecap="round"/>',
        f'<polygon points="570,208 594,218 570,228" fill="{GREEN}"/>',
        text(300, 252, "the hidden state goes on: what was seen, done and paid", GREEN),
    ]
    return page(266, *parts)


def posterior():
    """A belief about the goal becomes narrower; each episode acts by one sample of it."""
    goal = (0.7, 0.35)
    beliefs = [
        (0.5, 0.5, 0.42, (0.3, 0.7), "prior"),
        (0.6, 0.4, 0.25, (0.55, 0.25), "after episode 1"),
        (0.69, 0.36, 0.1, (0.69, 0.38), "after episode 2"),
    ]
    parts = []
    for number, (across, down, radius, sample, name) in enumerate(beliefs):
        x = 6 + 224 * number
        place = x + 140 * sample[0], 36 + 140 * sample[1]
        parts += [
            text(x + 70, 24, name, weight="bold"),
            world(
                x,
                36,
                140,
                goal,
                cloud(x + 140 * across, 36 + 140 * down, 140 * radius),
                way([(x + 70, 164), place]),
                dot(*place, 5, GREEN),
                dot(x + 70, 164),
            ),
        ]
        if number < 2:
            parts.append(arrow(x + 150, 106, x + 214, 106))
    parts += [
        cloud(16, 206, 10),
        text(34, 212, "posterior over the task", anchor="start"),
        dot(252, 206, 5, GREEN),
        text(266, 212, "a sample, by which the episode acts", anchor="start"),
    ]
    return page(226, *parts)


PICTURES = {
    "task": tasks,
    "support-and-query": support_and_query,
    "gradient-step": gradient_step,
    "trial": trial,
    "posterior": posterior,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (options.output / f"concept-{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
