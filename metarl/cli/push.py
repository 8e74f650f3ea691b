"""Upload a run to a model repository of the Hugging Face hub, with a card made from its report.

Uploaded are the configuration, the newest checkpoint, metrics, evaluations, pictures, clips and the
report, as far as they are there, and README.md, the card. All files are safetensors, JSON, pictures
and pages, never pickles. What stays is said, with its size. Of paths the last part is uploaded
alone. The card gives the numbers of the run folder's evaluation, and claims none without one: first
run `metarl evaluate`, and `metarl render` and `metarl report` as you like.

It needs pip install "metarl-suite[hub]", and a token of the hub that may write: hf auth login.
Others then use the run as hf://USER/NAME wherever a run folder is asked for.

Examples:
  metarl push runs/navigation-2d USER/navigation-2d --dry-run          what would be uploaded
  metarl push runs/navigation-2d USER/navigation-2d --dry-run --output look-at-it
  metarl push runs/navigation-2d USER/navigation-2d --private
  metarl push runs/seed-2 USER/navigation-2d --branch seed-2 --message "the second seed"
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class PushArguments:
    """The arguments of `metarl push`."""

    run_dir: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")] = None
    """The folder of a run; or the name of a policy that comes trained (`metarl list`)."""
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="USER/NAME")] = ""
    """The model repository; it is made if it is not there."""
    private: bool = False
    """Make a new repository that only its owner sees."""
    branch: str = ""
    """The branch to write to, made if it is not there. Empty: main."""
    message: str = ""
    """Of the commit. Empty: it says preset, agent and seed."""
    license: str = "mit"
    """Of what is uploaded, as the hub names it, such as cc-by-4.0."""
    dry_run: bool = False
    """Say which files would be uploaded and print the card; upload nothing, and ask for no token.
    """
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Of a dry run: a new folder to write what would be uploaded into, in place of printing the
    card."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(PushArguments, argv, prog="metarl push", description=__doc__ or "")
    if arguments.run_dir is None or not arguments.repository:
        raise ConfigError("name a run folder and a repository: metarl push RUN_DIR USER/NAME")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.sharing import push

    upload = push(
        arguments.run_dir,
        arguments.repository,
        private=arguments.private,
        branch=arguments.branch,
        message=arguments.message,
        license=arguments.license,
        dry_run=arguments.dry_run,
        output=arguments.output,
        tell=lambda upload: _tell(upload, "would be" if arguments.dry_run else "are"),
    )
    if upload.url:
        print(f"uploaded to {upload.url}; use it as {upload.address}")
    elif arguments.output is not None:
        print(f"written to {arguments.output}; nothing is uploaded")
    else:
        print(f"nothing is uploaded; README.md would be:\n\n{upload.card}")
    return 0


def _tell(upload: Any, are: str) -> None:
    """Say what is uploaded and what stays, with sizes."""
    from metarl.foundation.files import readable_size

    print(f"{_total(upload.files)} {are} uploaded to {upload.address}:")
    for name, size in upload.files.items():
        print(f"  {readable_size(size):>8}  {name}")
    if upload.left_out:
        print(f"{_total(upload.left_out)} of the run folder stay here:")
        for name, size in _by_folder(upload.left_out).items():
            print(f"  {readable_size(size):>8}  {name}")
    sys.stdout.flush()


def _total(files: Mapping[str, int]) -> str:
    from metarl.foundation.files import readable_size

    count = len(files)
    return f"{count} file{'s' * (count != 1)} of {readable_size(sum(files.values()))}"


def _by_folder(files: Mapping[str, int]) -> dict[str, int]:
    """Join the files of each folder to one row."""
    sizes: dict[str, int] = {}
    for name, size in files.items():
        folder, slash, _ = name.rpartition("/")
        row = folder + slash or name
        sizes[row] = sizes.get(row, 0) + size
    return sizes
