"""The kernel's own network counters, as ``nstat`` shows them; of a network namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Connections that a full accept queue turned away; all that a listener dropped; TIME_WAIT ended.
_NETSTAT: Final = ("ListenOverflows", "ListenDrops", "TW")


def snapshot(net: str = "/proc/net") -> dict[str, int]:
    """Read them: ``ListenOverflows``, ``ListenDrops``, ``TW`` since boot, ``TIME_WAIT`` now.

    :param net: ``/proc/PID/net`` for the network namespace of another process
    """
    found: dict[str, int] = {}
    lines = Path(f"{net}/netstat").read_text().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        for name, value in zip(names.split()[1:], values.split()[1:], strict=True):
            if name in _NETSTAT:
                found[name] = int(value)
    for line in Path(f"{net}/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            found["TIME_WAIT"] = int(words[words.index("tw") + 1])
    return found
