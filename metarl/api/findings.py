"""What `metarl doctor` finds: one thing that is in order, missing or wrong."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    area: str
    """What it belongs to, such as packages."""
    subject: str
    state: Literal["ok", "missing", "problem"]
    """Missing: something optional is not there."""
    words: str
    """What was found."""
    advice: str = ""
    """What to do about it; empty: nothing."""
    needed: bool = False
    """Whether metarl cannot do its work unless this is in order."""


def broken(findings: list[Finding]) -> list[Finding]:
    """Give the findings that keep metarl from its work."""
    return [each for each in findings if each.needed and each.state != "ok"]
