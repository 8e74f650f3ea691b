"""Clips that a notebook plays."""

import html
from pathlib import Path

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, read_bytes
from metarl.reports.report import data_uri
from metarl.reports.run_contents import VIDEO_TYPES

_LARGEST_PLAYED = 16 * MEBIBYTE
"""A notebook holds what it plays; of larger files it shows the names."""


class Clips(list[Path]):
    """The files of clips; a notebook plays them where they are the last value of a cell."""

    def _repr_html_(self) -> str:
        """Give the clips as HTML that carries them; of a file that cannot be read the name."""
        return "\n".join(_played(file) for file in self)


def _played(file: Path) -> str:
    name = html.escape(file.as_posix())
    try:
        source = data_uri(read_bytes(file, _LARGEST_PLAYED), VIDEO_TYPES[file.suffix])
    except RunFolderError:
        return f"<p>{name}</p>"
    if file.suffix == ".mp4":
        return (
            f'<video controls autoplay loop muted playsinline style="max-width: 100%" '
            f'src="{source}" aria-label="{name}"></video>'
        )
    return f'<img style="max-width: 100%" src="{source}" alt="{name}">'
