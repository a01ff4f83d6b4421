"""A BPF program chooses the socket of a reuseport group."""

from __future__ import annotations

from collections.abc import Iterator

from herd.observe.inspect.findings._base import Finding
from herd.observe.inspect.model import Group


def look(group: Group) -> Iterator[Finding]:
    """In a group with a program."""
    program = group.program
    if program is None:
        return
    named = f"{program.name} " if program.name else ""
    number = "without an id" if program.id is None else f"id {program.id}"
    yield Finding(
        id="bpf-program-chooses",
        address=group.name,
        level="info",
        sure="certain",
        evidence=f"{program.kind} program {named}({number}) is attached to the group of"
        f" {len(group.sockets)} sockets",
        meaning="it chooses the socket of each connection, not the kernel's hash (reuseport_select_sock(),"
        " net/core/sock_reuseport.c); where it names none, the hash decides",
        advice="" if program.id is None else f"see it: bpftool prog dump xlated id {program.id}",
    )
