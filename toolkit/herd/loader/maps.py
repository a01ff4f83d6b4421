"""A BPF map, read and written as numpy values."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from herd import bpf
from herd.loader.image import MapImage, layout

_ARRAYS: Final = (2, 6)  # BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY: elements are always there
_PER_CPU: Final = (5, 6, 10)  # BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH

Value = np.ndarray[Any, Any]


class Map:
    """Made when it is constructed; it goes with its descriptor, unless a program holds it.

    :raises OSError: the kernel refuses it
    """

    def __init__(self, image: MapImage) -> None:
        self._image = image
        self.fd = bpf.create_map(
            image.name[:15],
            image.kind,
            key_bytes=image.key_bytes,
            value_bytes=image.value_bytes,
            entries=image.entries,
            flags=image.flags,
        )

    @cached_property
    def key_type(self) -> np.dtype[Any]:
        """Of a key."""
        return layout(self._image.key)

    @cached_property
    def value_type(self) -> np.dtype[Any]:
        """Of a value; of each CPU's, where each has its own."""
        return layout(self._image.value)

    @cached_property
    def shared(self) -> Value:
        """All elements of an array with BPF_F_MMAPABLE, in the kernel's own memory."""
        memory = mmap.mmap(self.fd, self._image.entries * self._image.value_bytes)
        return np.frombuffer(memory, self.value_type, self._image.entries)

    def new(self) -> Value:
        """A value of zeros, to be filled in."""
        return np.zeros((), self.value_type)

    def __getitem__(self, key: Any) -> Value:
        """The value: shape (), or (CPUs,) where each has its own."""
        found = bpf.lookup(self.fd, self._key(key), self._bytes)
        if found is None:
            raise KeyError(key)
        if self._image.kind not in _PER_CPU:
            return np.frombuffer(found, self.value_type)[0]  # type: ignore[no-any-return]
        rows = np.frombuffer(found, np.uint8).reshape(possible_cpus(), -1)
        return np.ascontiguousarray(rows[:, : self._image.value_bytes]).view(self.value_type)[:, 0]

    def __setitem__(self, key: Any, value: Any) -> None:
        bpf.update(self.fd, self._key(key), np.asarray(value, self.value_type).tobytes())

    def __delitem__(self, key: Any) -> None:
        bpf.delete(self.fd, self._key(key))

    def __iter__(self) -> Iterator[Any]:
        """The keys; one that comes or goes meanwhile may be missed."""
        at: bytes | None = None
        while (at := bpf.next_key(self.fd, at, self._image.key_bytes)) is not None:
            yield np.frombuffer(at, self.key_type)[0]

    def clear(self) -> None:
        """Remove all elements; those of an array become zeros."""
        for key in list(self):
            if self._image.kind in _ARRAYS:
                bpf.update(self.fd, self._key(key), bytes(self._bytes))
            else:
                bpf.delete(self.fd, self._key(key))

    def _key(self, key: Any) -> bytes:
        return np.asarray(key, self.key_type).tobytes()

    @cached_property
    def _bytes(self) -> int:
        size = self._image.value_bytes
        return -(-size // 8) * 8 * possible_cpus() if self._image.kind in _PER_CPU else size


def possible_cpus() -> int:
    """How many CPUs the kernel counts with, those that aren't there included."""
    text = Path("/sys/devices/system/cpu/possible").read_text()  # 0-3
    return max(int(number) for number in text.strip().replace(",", "-").split("-")) + 1
