"""The conformance kit for authors of environments and agents; see `metarl.testing.kit`."""

from metarl.testing.kit import AGENT_CHECKS, CHECKS, Verdict, check_agent, check_task_env

__all__ = ["AGENT_CHECKS", "CHECKS", "Verdict", "check_agent", "check_task_env"]
