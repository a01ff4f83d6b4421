"""Where the running kernel keeps its struct members, read from its own BTF.

bcc compiles against kernel headers that match the running kernel only roughly, so every offset
that a probe uses comes from here instead. Format: ``Documentation/bpf/btf.rst``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from herd.errors import HostError

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")

# Bytes that follow the 12-byte btf_type, by kind: fixed, or per element (``vlen`` of them).
_FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
_PER_ELEMENT = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
_STRUCT, _UNION, _VAR, _DATASEC = 4, 5, 14, 15
_TYPEDEF, _FUNC, _FUNC_PROTO, _PTR = 8, 12, 13, 2
_MODIFIERS = {8, 9, 10, 11, 18}  # typedef, volatile, const, restrict, type tag


class Btf:
    """An index of one BTF blob (about 0.3 s for a vmlinux of 150,000 types).

    :param data: the contents of ``/sys/kernel/btf/vmlinux``
    """

    def __init__(self, data: bytes) -> None:
        magic, _, _, header, type_off, type_len, str_off, _ = _HEADER.unpack_from(data)
        if magic != 0xEB9F:
            raise ValueError("not BTF: wrong magic")
        self._data = data
        self._strings = header + str_off
        self._where = [0]
        self._named: dict[tuple[int, int], int] = {}
        self._index(header + type_off, header + type_off + type_len)

    @classmethod
    def vmlinux(cls) -> Btf:
        """The running kernel's BTF."""
        try:
            return cls(VMLINUX.read_bytes())
        except OSError as error:
            raise HostError(
                f"this kernel publishes no BTF ({error.strerror}: {VMLINUX})",
                "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, or use --probe none",
            ) from error

    def _index(self, at: int, end: int) -> None:
        unpack = _TYPE.unpack_from
        data, where, named = self._data, self._where, self._named
        while at < end:
            name, info, _ = unpack(data, at)
            kind = (info >> 24) & 31
            if name:
                named.setdefault((kind, name), len(where))
            where.append(at)
            at += 12 + _FIXED.get(kind, 0) + _PER_ELEMENT.get(kind, 0) * (info & 0xFFFF)

    def _name(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(b"\0", start)].decode()

    def _find(self, name: str, *kinds: int) -> int | None:
        """The id of the type called ``name``; a string can stand more than once in the blob."""
        needle = b"\0" + name.encode() + b"\0"
        at = self._data.find(needle, self._strings)
        while at >= 0:
            for kind in kinds:
                found = self._named.get((kind, at + 1 - self._strings))
                if found is not None:
                    return found
            at = self._data.find(needle, at + 1)
        return None

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int]]:
        at = self._where[type_id]
        _, info, _ = _TYPE.unpack_from(self._data, at)
        for i in range(info & 0xFFFF):
            name, member_type, bits = _MEMBER.unpack_from(self._data, at + 12 + 12 * i)
            if info >> 31:  # bitfields are in this struct: the upper byte is a width
                bits &= 0xFFFFFF
            yield self._name(name), member_type, bits // 8

    def _resolve(self, type_id: int) -> int:
        while True:
            _, info, target = _TYPE.unpack_from(self._data, self._where[type_id])
            if (info >> 24) & 31 not in _MODIFIERS:
                return type_id
            type_id = target

    def _member(self, type_id: int, name: str) -> tuple[int, int] | None:
        """Offset and type of a member, looked for in anonymous structs and unions too."""
        for member, member_type, offset in self._members(type_id):
            if member == name:
                return offset, self._resolve(member_type)
            if not member:
                inner = self._member(self._resolve(member_type), name)
                if inner:
                    return offset + inner[0], inner[1]
        return None

    def offset(self, struct_name: str, path: str) -> int | None:
        """Byte offset of a member.

        :param struct_name: such as ``sock``
        :param path: such as ``sk_wq`` or ``__sk_common.skc_cookie``
        :returns: ``None`` where this kernel has no such struct or member
        """
        type_id = self._find(struct_name, _STRUCT, _UNION)
        total = 0
        for part in path.split("."):
            found = None if type_id is None else self._member(type_id, part)
            if found is None:
                return None
            total += found[0]
            type_id = found[1]
        return total

    def per_cpu(self, name: str) -> int | None:
        """Where a variable lies in the section of which each CPU has a copy, in bytes; ``None``: nowhere."""
        variable, section = self._find(name, _VAR), self._find(".data..percpu", _DATASEC)
        if variable is None or section is None:
            return None
        at = self._where[section]
        _, info, _ = _TYPE.unpack_from(self._data, at)
        for i in range(info & 0xFFFF):
            type_id, offset, _ = _TYPE.unpack_from(self._data, at + 12 + 12 * i)
            if type_id == variable:
                return int(offset)
        return None

    def struct_id(self, name: str) -> int | None:
        """The type id of a struct; ``None`` where this kernel has none of that name."""
        return self._find(name, _STRUCT)

    def size(self, struct_name: str) -> int | None:
        """Bytes of a struct; ``None`` where this kernel has none of that name."""
        type_id = self._find(struct_name, _STRUCT, _UNION)
        if type_id is None:
            return None
        return int(_TYPE.unpack_from(self._data, self._where[type_id])[2])

    def tracepoint_arguments(self, name: str) -> int | None:
        """How many arguments a tracepoint has; ``None`` where this kernel has no such tracepoint.

        Source: ``include/trace/bpf_probe.h`` emits a typedef ``btf_trace_<name>`` for each.
        """
        type_id = self._find(f"btf_trace_{name}", _TYPEDEF)
        if type_id is None:
            return None
        while True:
            _, info, target = _TYPE.unpack_from(self._data, self._where[type_id])
            kind = (info >> 24) & 31
            if kind == _FUNC_PROTO:
                return int(info & 0xFFFF) - 1  # the first is the probe's own data pointer
            type_id = target

    def function_id(self, name: str) -> int | None:
        """The type id of a kernel function; ``None`` where there is none, or it is inlined everywhere."""
        return self._find(name, _FUNC)

    def target_id(self, name: str) -> int | None:
        """The type id of a program's target: a function, or ``btf_trace_`` and the name of a tracepoint."""
        return self._find(name, _FUNC, _TYPEDEF)

    def function_arguments(self, name: str) -> int | None:
        """How many arguments a kernel function has; ``None`` where there is no such function."""
        type_id = self.function_id(name)
        if type_id is None:
            return None
        _, _, prototype = _TYPE.unpack_from(self._data, self._where[type_id])
        _, info, _ = _TYPE.unpack_from(self._data, self._where[prototype])
        return int(info & 0xFFFF)
