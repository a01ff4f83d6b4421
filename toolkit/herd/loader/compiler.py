"""bcc as a compiler and nothing else: C in, :class:`Image` out. LLVM can abort its process."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Sequence
from typing import Any, Final

from herd.errors import HostError
from herd.host.bcc import import_bcc
from herd.host.headers import use_kernel_headers
from herd.loader.image import Image, MapImage, ProgramImage, renumber_maps

#: Functions of libbcc (src/cc/bpf_module.h) that bcc's own libbcc.py doesn't declare, and what they return.
_UNDECLARED: Final = {
    "bpf_num_tables": ctypes.c_size_t,
    "bpf_table_name": ctypes.c_char_p,
    "bpf_table_fd_id": ctypes.c_int,
    "bpf_table_key_size_id": ctypes.c_size_t,
    "bpf_table_leaf_size_id": ctypes.c_size_t,
    "bpf_table_key_desc_id": ctypes.c_char_p,
    "bpf_table_leaf_desc_id": ctypes.c_char_p,
}


def compiled(text: str, flags: Sequence[str] = ()) -> Image:
    """Compile; takes a second or two.

    bcc makes the maps as it compiles; they are closed again, and what is loaded later has its own.

    :param flags: for the compiler, such as ``-DNAME=1``
    :raises HostError: no bcc, no kernel headers, or not C; why is on stderr
    """
    use_kernel_headers()
    lib = _declared(import_bcc().lib)
    arguments = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
    module = lib.bpf_module_create_c_from_string(
        text.encode(), 0, arguments, len(flags), True, None
    )
    if not module:
        raise HostError("bcc could not compile a BPF program", "herd doctor")
    try:
        return _image(lib, module)
    finally:
        for number in range(lib.bpf_num_tables(module)):
            os.close(lib.bpf_table_fd_id(module, number))
        lib.bpf_module_destroy(module)


def _declared(lib: Any) -> Any:
    for name, result in _UNDECLARED.items():
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = [
            ctypes.c_void_p,
            *([ctypes.c_size_t] if name != "bpf_num_tables" else []),
        ]
    return lib


def _image(lib: Any, module: int) -> Image:
    tables = range(lib.bpf_num_tables(module))
    numbers = {lib.bpf_table_fd_id(module, number): number for number in tables}
    names = [lib.bpf_function_name(module, i) for i in range(lib.bpf_num_functions(module))]
    return Image(
        maps=[_map(lib, module, number) for number in tables],
        programs=[
            ProgramImage(name.decode(), renumber_maps(_code(lib, module, name), numbers))
            for name in names
        ],
    )


def _map(lib: Any, module: int, number: int) -> MapImage:
    return MapImage(
        name=lib.bpf_table_name(module, number).decode(),
        kind=lib.bpf_table_type_id(module, number),
        key_bytes=lib.bpf_table_key_size_id(module, number),
        value_bytes=lib.bpf_table_leaf_size_id(module, number),
        entries=lib.bpf_table_max_entries_id(module, number),
        flags=lib.bpf_table_flags_id(module, number),
        key=json.loads(lib.bpf_table_key_desc_id(module, number)),
        value=json.loads(lib.bpf_table_leaf_desc_id(module, number)),
    )


def _code(lib: Any, module: int, name: bytes) -> bytes:
    return ctypes.string_at(
        lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)
    )
