"""What an environment says of itself: its docstring, its spaces and its time limit."""

import contextlib
import inspect
import io
import re

from metarl.api.catalogue import CANNOT_BE_MADE, describe_space
from metarl.foundation.wording import counted
from metarl.tasks.distribution import make_environment


def facts_of_environment(env_id: str) -> tuple[str, dict[str, str]]:
    """Give the first line of an environment's docstring, and facts by what they are about.

    The rows of a table of two columns in its docstring are facts; where there is none, the spaces.
    """
    try:
        # Some packages print advice as they are imported.
        with contextlib.redirect_stderr(io.StringIO()):
            environment = make_environment(env_id, {})
    except Exception as error:  # a stranger's plug-in may raise anything
        return f"{CANNOT_BE_MADE}: {error}", {}
    try:
        text = inspect.cleandoc(environment.unwrapped.__doc__ or "")
        spaces = {
            "observation": describe_space(environment.observation_space),
            "action": describe_space(environment.action_space),
        }
        facts = {**spaces, **rows_of_table(text)}
        limit = environment.spec.max_episode_steps if environment.spec else None
        if limit:
            facts["longest episode"] = f"{counted(limit, 'step')}, unless a preset says otherwise"
        return " ".join(text.partition("\n\n")[0].split()), facts
    finally:
        environment.close()


def rows_of_table(text: str) -> dict[str, str]:
    """Give the rows of the first table of two columns, as reStructuredText writes it."""
    lines = text.splitlines()
    borders = [number for number, line in enumerate(lines) if re.fullmatch(r"=+ +=+", line.strip())]
    if len(borders) != 2:
        return {}
    width = lines[borders[0]].rindex(" ") + 1
    rows: dict[str, str] = {}
    name = ""
    for line in lines[borders[0] + 1 : borders[1]]:
        name = line[:width].strip() or name
        rows[name] = f"{rows.get(name, '')} {line[width:].strip()}".strip()
    return rows
