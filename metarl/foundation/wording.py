"""Counts in words, and names that somebody may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def counted(count: int, what: str, form: str = "") -> str:
    """Give a number and what is counted, in the plural unless it is one.

    Args:
        count: how many.
        what: of what, in the singular.
        form: how the number is written, as for `format`.

    """
    return f"{count:{form}} {what}{'s' * (count != 1)}"


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Ask whether the nearest of the known names was meant.

    Args:
        name: what was given, and is not known.
        known: the names that there are.
        otherwise: where to find them; it is said alone where none is near.

    """
    near = get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}? ({otherwise})" if near else otherwise
