"""The documentation site: `make docs`.

The sources are the pages and notebooks of `docs/` and, where they lie, the pages of `results/` and
`benchmarks/` and the changelog. So Sphinx reads the repository from its root, and a link between
two pages is the same here and on GitHub. Nothing is fetched from a network, neither by the build
nor by the pages.
"""

import sys
from pathlib import Path

from metarl.foundation.versions import OWN_VERSION

sys.path.insert(0, str(Path(__file__).parent))  # for site_parts

project = "metarl"
release = version = OWN_VERSION

extensions = ["myst_nb", "sphinx.ext.autodoc", "site_parts"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/notebooks/*.ipynb",
    "results/*/*.md",
    "benchmarks/*.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [".*", "runs", "docs/_build"]

myst_heading_anchors = 3
nb_execution_mode = "off"  # what is committed is shown; scripts/run_notebooks.py executes it

# A word between single backticks in a docstring is code.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

# What lies outside of metarl has no page here, and inventories of other sites would need a network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!metarl\.).*"),
    ("py:class", r"metarl\..*\.[A-Z]"),  # type variables
]
# In signatures, but of no use to who reads them.
_INNER = [
    "metarl.config.reinforcement.Config",  # explained field by field on its own page
    "metarl.experiments.curves.SuccessCurve",
    "metarl.experiments.curves.TrialReturn",
    "metarl.experiments.environment_experiment.EnvironmentExperiment",
    "metarl.experiments.interface.EvaluatedAgent",
    "metarl.experiments.interface.EvaluationSheet",
    "metarl.foundation.rollout_location.RolloutLocation",
    "metarl.learning.torsos.ImageTorso",
    "metarl.reports.inline_clips.Clips",
    "metarl.runs.benchmark_cells.CellState",
    "metarl.tasks.environment_batches.EnvironmentBatch",
    "metarl.tasks.failed_episodes.EpisodeError",
    "metarl.tasks.failed_episodes.FailedEpisode",
    "metarl.tasks.observations.Layout",
    "metarl.workers.rollout.EpisodeRunner",
    "metarl.workers.trials.TrialActor",
]
nitpick_ignore = [("py:class", name) for name in _INNER]

html_theme = "furo"
html_title = f"metarl {release}"
html_static_path = ["_static"]
html_extra_path = ["_front"]
html_css_files = ["site.css"]
html_js_files = ["filter.js"]
html_show_sphinx = False
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
