"""Does metarl work here? Looks at all that it needs or may use; what a bug report needs."""

from collections.abc import Iterator

from metarl.api.findings import Finding
from metarl.api.installation_checks import extras, plug_ins, python_and_packages, variables
from metarl.api.machine_checks import devices, folders, rendering, workers

CHECKS = (
    python_and_packages,
    extras,
    devices,
    workers,
    rendering,
    folders,
    plug_ins,
    variables,
)


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; a check that fails itself is a finding too."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:  # whatever is broken here must not hide the rest
            words = f"could not be examined: {type(error).__name__}: {error}"
            area = check.__name__.replace("_", " ")
            yield Finding(
                area, area, "problem", words, "add this line to a bug report", needed=True
            )
