"""What to make of how a server waits. One file adds a finding: its ``look`` yields those in a group."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from herd.discover import modules
from herd.observe.inspect.findings._base import LEVELS, Finding, listed, named
from herd.observe.inspect.model import Group

__all__ = ["Finding", "findings", "listed", "named"]


def findings(groups: Iterable[Group]) -> list[Finding]:
    """All findings, the worst first."""
    looks = [importlib.import_module(f"{__name__}.{name}").look for name in modules(__name__)]
    found = [finding for group in groups for look in looks for finding in look(group)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))
