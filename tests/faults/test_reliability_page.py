"""The page about reliability says what the tests hold the suite to."""

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole_runs

ROOT = Path(__file__).parent.parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "write_reliability.py"))


def marked(tmp_path, mark):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text(f"{mark}\ndef test_it():\n    pass\n")
    return SCRIPT["marked_faults"](tmp_path)


def test_the_committed_page_is_the_one_that_the_marks_give():
    committed = (ROOT / "docs" / "reliability.md").read_text()
    said = "run scripts/write_reliability.py"
    assert committed == SCRIPT["page"](SCRIPT["marked_faults"]()), said


def test_a_mark_becomes_a_row_of_its_groups_table(tmp_path):
    found = marked(tmp_path, '@pytest.mark.fault(7, "a | b", "it " "holds", group="files")')
    page = SCRIPT["page"](found)
    row = "| 7 | a \\| b | it holds | `test_one.py::test_it` |"
    assert page.splitlines()[-5:] == ["## Files", "", *page.splitlines()[-3:-1], row]


@pytest.mark.parametrize(
    "arguments",
    ['7, "wrong", group="files"', '7, "wrong", "held", group="fils"', '7, "wrong", name, group="x"',
     '7, "wrong", "held"'],
)  # fmt: skip
def test_a_mark_that_does_not_fit_is_named(tmp_path, arguments):
    with pytest.raises(ValueError, match=r"tests/test_one.py:1: a fault's mark is fault\(number"):
        marked(tmp_path, f"@pytest.mark.fault({arguments})")
