"""The page that explains MAML: its snippets run, and its picture's formulas are true."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from script_loading import load_script

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/maml.md").read_text()


@pytest.fixture
def drawing():
    return load_script("draw_maml")


def test_the_snippets_run_one_after_the_other():
    snippets = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(snippets) == 5
    kind = torch.get_default_dtype()
    try:
        exec(compile("\n".join(snippets), "docs/maml.md", "exec"), {})
    finally:
        torch.set_default_dtype(kind)


def test_the_picture_of_the_page_is_there():
    for target in re.findall(r"!\[[^]]*\]\(([^)]*)\)", PAGE):
        assert (ROOT / "docs" / target).exists()


def test_the_formula_of_the_best_theta_has_no_slope(drawing):
    """Moving away from it in any direction raises the loss, as much to one side as to the other."""
    for steps in (0, 1):
        best = drawing.best(steps)
        least = drawing.losses(best, steps)
        for direction in np.eye(2):
            up, down = (drawing.losses(best + s * 1e-3 * direction, steps) for s in (1, -1))
            assert min(up, down) > least
            assert up - least == pytest.approx(down - least, rel=1e-6)


def test_training_goes_to_the_formulas_theta(drawing):
    np.testing.assert_allclose(drawing.run(0)[-1], drawing.best(0), atol=1e-3)
    np.testing.assert_allclose(drawing.run(1)[-1], drawing.best(1), atol=1e-2)
