"""What a run folder says of the machine and its user, left away before others see it.

A run records command lines, the address of a cluster, and paths: of the preset's file, of data, of
the policy that training started from. Of a path the last part stays. What numbers depend on stays
as well: versions, processor, GPU, and the commit of the source.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

_WHOLE_PATH = re.compile(r"(file://)?(~[\w.-]*)?/.+|\.\./.+", re.DOTALL)
_PATH_IN_TEXT = re.compile(r"(?<![\w.:/~-])(?:file://)?(?:~[\w.-]*)?(?:/[^/\s'\",;:)\]}]+)+/?")
_LITERAL = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")
_PRIVATE = ("--run-dir", "--run_dir", "--wandb", "--workers")
"""Flags of the command line that say where something is, and not what is computed."""
_OF_SESSION = ("started", "seed", "after_iteration", "versions", "cpu", "cores", "device")
_OF_SESSION_TOO = ("torch_threads", "git")


def config_without_machine(table: Mapping[str, Any]) -> dict[str, Any]:
    """Give a run's configuration as others may see it; it computes the same.

    The policy that training started from is left away: the checkpoint is what became of it, and
    resuming needs it no more.
    """
    cleaned: dict[str, Any] = without_paths(dict(table))
    if cleaned.get("initial_policy"):
        cleaned["initial_policy"] = ""
    return cleaned


def session_without_machine(session: Mapping[str, Any]) -> dict[str, Any]:
    """Give a session's record as others may see it."""
    kept = {name: session[name] for name in (*_OF_SESSION, *_OF_SESSION_TOO) if name in session}
    cleaned: dict[str, Any] = without_paths(kept)
    workers = session.get("workers")
    cleaned["workers"] = workers if isinstance(workers, int) else "a cluster"
    versions = session.get("versions")
    machine = versions.get("machine") if isinstance(versions, dict) else None
    cleaned["platform"] = str(machine or "not said").partition(",")[0]
    cleaned["command"] = command_without_machine(str(session.get("command") or ""))
    return cleaned


def command_without_machine(command: str) -> str:
    """Give a command line, or a call of `metarl.train`, without folders and addresses."""
    if command.startswith("metarl.train("):
        return _PATH_IN_TEXT.sub(_last_part, _LITERAL.sub(_clean_literal, command))
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    kept: list[str] = []
    skipped = False
    for word in words:
        flag, equals, value = word.partition("=")
        if skipped:
            skipped = False
        elif flag in _PRIVATE:
            skipped = not equals
        elif equals and flag.startswith("-"):
            kept.append(f"{flag}={_text_without_paths(value)}")
        else:
            kept.append(_text_without_paths(word))
    return shlex.join(kept)


def without_paths(value: Any) -> Any:
    """Give a value of JSON with the last part of each path alone."""
    if isinstance(value, str):
        return _text_without_paths(value)
    if isinstance(value, Mapping):
        return {_text_without_paths(name): without_paths(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [without_paths(inner) for inner in value]
    return value


def json_without_machine(data: bytes) -> bytes:
    """Give a JSON file with the last part of each path alone.

    Raises:
        ValueError: it is no JSON.

    """
    return (json.dumps(without_paths(json.loads(data)), indent=2) + "\n").encode()


def _text_without_paths(text: str) -> str:
    if _WHOLE_PATH.fullmatch(text):
        return PurePosixPath(text).name
    return _PATH_IN_TEXT.sub(_last_part, text)


def _last_part(found: re.Match[str]) -> str:
    return PurePosixPath(found[0]).name


def _clean_literal(found: re.Match[str]) -> str:
    return repr(_text_without_paths(found[1] if found[1] is not None else found[2]))
