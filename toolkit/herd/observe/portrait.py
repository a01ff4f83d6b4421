"""What ``herd inspect`` makes of a server that is to be observed: its name, its findings, and advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from herd.observe.inspect import facts, model
from herd.observe.inspect.findings import Finding, findings
from herd.observe.targets import Target

#: Findings of which needless wakeups follow, the one that says most first.
_OF_WAKEUPS: Final = ("reuseport-without-effect", "everyone-wakes", "chained-wakeups")


@dataclass(frozen=True)
class Portrait:
    """:param server: ``None``: none that herd knows"""

    server: str | None
    findings: Sequence[Finding]

    @property
    def advice(self) -> str | None:
        """What to change so that fewer wake; ``None``: nothing that could be seen is to blame."""
        to_blame = [
            finding for number in _OF_WAKEUPS for finding in self.findings if finding.id == number
        ]
        by_address: dict[str, str] = {}
        for finding in to_blame:
            by_address.setdefault(finding.address, finding.advice)
        return "; ".join(dict.fromkeys(by_address.values())) or None

    def as_json(self) -> list[dict[str, Any]]:
        """The findings, for the recording."""
        return [asdict(finding) for finding in self.findings]


def look(target: Target) -> Portrait:
    """Look at it, as it is now.

    :raises HerdError: it was closed meanwhile, or this user may not look there
    """
    groups = model.groups(facts.collect(target))
    names = [group.server for group in groups if group.server]
    return Portrait(names[0] if names else None, findings(groups))
