"""What the site computes when it is built: help texts, tables of fields, docstrings as reST."""

import dataclasses
import io
import os
import re
import shutil
import textwrap
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective

import metarl
from metarl.cli import main
from metarl.config.fields import meanings
from metarl.config.plugins import agent_names, load_agent

COLUMNS = 78
"""Width of the help texts, in characters; as much as stands beside the contents of a page."""


def help_text(verb: str) -> str:
    """Give what `metarl VERB --help` prints."""
    printed = io.StringIO()
    # A run without a terminal has neither width nor colours of its own.
    with (
        patch.dict(os.environ, {"COLUMNS": str(COLUMNS), "NO_COLOR": "1"}),
        redirect_stdout(printed),
        suppress(SystemExit),
    ):
        main([verb, "--help"])
    lines = printed.getvalue().splitlines()
    # A terminal would break paragraphs; what is indented is laid out already.
    return "\n".join(it if it.startswith(" ") else textwrap.fill(it, COLUMNS) for it in lines)


def documented_fields(kind: type[Any]) -> list[tuple[str, str, str, str]]:
    """Give name, meaning, default and type of each field of a dataclass, the inherited as well."""
    found = meanings(kind)
    hints = get_type_hints(kind)
    return [
        (field.name, found.get(field.name, ""), _default(field), _type(hints[field.name]))
        for field in dataclasses.fields(kind)
    ]


def _type(hint: Any) -> str:
    shown = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    return re.sub(r"\b(?:typing|collections\.abc)\.", "", shown)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "" if field.default is dataclasses.MISSING else repr(field.default)


def fields_table(kind: type[Any]) -> str:
    """Give the fields of a dataclass as a table in Markdown."""
    rows = ["| field | meaning | default | type |", "|---|---|---|---|"]
    for name, meaning, default, hint in documented_fields(kind):
        cells = f"`{name}`", meaning, f"`{default}`" if default else "", f"`{hint}`"
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def agents_settings() -> str:
    """Give the settings of every agent that has some, agents with the same ones together."""
    owners: dict[type[Any], list[str]] = {}
    for origin in agent_names():
        owners.setdefault(load_agent(origin.name).settings, []).append(f"`{origin.name}`")
    parts = [
        f"{', '.join(names)}:\n\n{fields_table(settings)}"
        for settings, names in owners.items()
        if dataclasses.fields(settings)
    ]
    return "\n\n".join(parts)


class HelpOfVerb(SphinxDirective):
    """`{verb-help} train`: what `metarl train --help` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give one block."""
        text = help_text(self.arguments[0])
        return [nodes.literal_block(text, text, language="text")]


class Fields(SphinxDirective):
    """`{fields} module:Class`: the fields of a dataclass as a table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give the table."""
        module, _, name = self.arguments[0].partition(":")
        return self.parse_text_to_nodes(fields_table(getattr(import_module(module), name)))


class AgentsSettings(SphinxDirective):
    """`{agents-settings}`: a table for each settings class of the installed agents."""

    def run(self) -> list[nodes.Node]:
        """Give the tables."""
        return self.parse_text_to_nodes(agents_settings())


def public_name(target: str) -> str:
    """Give the name by which the front door offers what lives in a module behind it."""
    module, _, name = target.rpartition(".")
    if name in metarl.__all__ and getattr(metarl, name).__module__ == module:
        return f"metarl.{name}"
    return target


def resolve_homes(app: Sphinx, env: Any, node: Any, contnode: nodes.Element) -> Any:
    """Lead a reference to `metarl.api.run.Run` to `metarl.Run`, where it is documented."""
    target = node.get("reftarget", "")
    name = public_name(target)
    if node.get("refdomain") != "py" or name == target:
        return None
    domain = env.domains["py"]
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
    )


def convert_docstring(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Turn "Args:" and its kin into reST.

    Not the extension napoleon itself, which takes what stands before a colon in the docstring of an
    attribute for its type.
    """
    if what not in ("attribute", "property", "data"):
        lines[:] = GoogleDocstring(lines, what=what, name=name, obj=thing, options=options).lines()


def readable_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Leave away what says nothing, and write defaults that a function makes so that they parse."""
    if signature == "(*args, **kwargs)":  # of a protocol
        return "", returns
    if signature and "<factory>" in signature:
        return signature.replace("<factory>", "..."), returns
    return None


def copy_whole_pages(app: Sphinx, exception: Exception | None) -> None:
    """Put the pages that are HTML already beside those that were built."""
    if exception is None and app.builder.format == "html":
        for page in Path(__file__).parent.glob("*.html"):
            shutil.copy2(page, Path(app.outdir) / "docs")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of all this."""
    app.add_directive("verb-help", HelpOfVerb)
    app.add_directive("fields", Fields)
    app.add_directive("agents-settings", AgentsSettings)
    app.connect("missing-reference", resolve_homes)
    app.connect("autodoc-process-docstring", convert_docstring)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("build-finished", copy_whole_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
