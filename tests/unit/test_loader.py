"""Images, and the cache of them: what is trusted, what isn't, and that nothing but time is lost then."""

from __future__ import annotations

import os
import struct
import sys

import numpy as np
import pytest

from herd import assembler
from herd.assembler import R0, R1, R2
from herd.host import headers
from herd.loader import cache, compiler, image
from herd.loader.image import Image, MapImage, ProgramImage
from herd.probes.events import EVENT

#: As bcc describes it: padding is a member.
PAIR = [
    "pair",
    [["tid", "unsigned int"], ["__pad_1", "char", [4]], ["at", "long", [2]]],
    "struct_packed",
]
IMAGE = Image(
    [MapImage("m", 1, 4, 24, 8, 0, "unsigned int", PAIR)],
    [ProgramImage("raw_tracepoint__sys_enter", bytes(range(16)))],
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def kept(name: str = "0" * 64):
    path = cache.folder() / name
    cache.write(path, IMAGE)
    return path


# --- images


def test_an_image_comes_back_as_it_was():
    assert image.decode(image.encode(IMAGE)) == IMAGE


def test_maps_are_renumbered_where_instructions_name_them_and_nowhere_else():
    def code(first: int, second: int) -> bytes:
        return assembler.assemble(
            [
                *assembler.map_address(R1, first),
                assembler.do(R0, "=", 7),  # a number, which looks like a descriptor
                *assembler.map_address(R2, second),
                assembler.leave(),
            ]
        )

    numbers = {7: 0, 9: 1}
    assert image.renumber_maps(code(7, 9), numbers) == code(0, 1)
    back = {number: fd for fd, number in numbers.items()}
    assert image.renumber_maps(code(0, 1), back) == code(7, 9)
    with pytest.raises(KeyError):
        image.renumber_maps(code(7, 8), numbers)


def test_a_64_bit_number_is_no_map():
    number = struct.pack(
        "=BBhiBBhi", 0x18, 1 if sys.byteorder == "little" else 16, 0, 7, 0, 0, 0, 0
    )
    assert image.renumber_maps(number, {}) == number


def test_a_call_of_what_is_no_helper_is_one_of_the_kernel_by_btf_id():
    def code(by: int, number: int) -> bytes:
        registers = by << 4 if sys.byteorder == "little" else by
        return struct.pack("=BBhi", 0x85, registers, 0, number)

    helper, jump = code(0, 14), struct.pack("=BBhi", 0x05, 0, 0, 65486)
    called = image.call_kernel(helper + code(0, 65486) + jump)
    assert called == helper + code(2, 65486) + jump
    assert image.call_kernel(called) == called


def test_a_layout_is_that_of_the_c_type():
    found = image.layout(PAIR)
    assert found.itemsize == IMAGE.maps[0].value_bytes
    assert [found.fields[name][1] for name in ("tid", "at")] == [0, 8]
    assert found["at"].shape == (2,)
    nested = image.layout(["outer", [["pair", PAIR], ["last", "unsigned char"]], "struct_packed"])
    assert nested.fields["last"] == (np.dtype("u1"), 24)
    with pytest.raises(ValueError, match="union"):
        image.layout(["u", [["a", "int"]], "union"])
    assert EVENT.itemsize == 64


# --- what is kept, and what is trusted


def test_what_is_kept_is_read_again():
    path = kept()
    assert cache.read(path) == IMAGE
    assert cache.used() == (1, path.stat().st_size)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def damaged(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DISTRUST = {
    "damaged": damaged,
    "truncated": lambda path: os.truncate(path, 40),
    "empty": lambda path: os.truncate(path, 0),
    "writable by the group": lambda path: path.chmod(0o620),
    "writable by others": lambda path: path.chmod(0o602),
    "a link": lambda path: path.symlink_to(path.rename(path.with_name("elsewhere"))),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "under another name": lambda path: path.rename(path.with_name("1" * 64)),
}


@pytest.mark.parametrize("how", DISTRUST)
def test_what_cannot_be_trusted_is_as_if_it_were_not_there(how):
    path = kept()
    DISTRUST[how](path)
    for there in path.parent.iterdir():
        assert there.name == "elsewhere" or cache.read(there) is None
    assert cache.read(path) is None


def test_somebody_elses_file_is_not_trusted(monkeypatch):
    path = kept()
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert cache.read(path) is None


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache.read(kept()) is None
    assert cache.used() == (0, 0)


def test_the_least_recently_used_goes_first(monkeypatch):
    monkeypatch.setattr(compiler, "compiled", lambda text, flags: IMAGE)
    paths = []
    for age, text in enumerate("abc"):
        cache.get(text, {})
        paths.append(cache.folder() / cache.key(text, []))
        os.utime(paths[-1], (1000 + age, 1000 + age))
    cache.get("a", {})  # now the last used
    monkeypatch.setattr(cache, "_LIMIT_BYTES", 3 * paths[0].stat().st_size)
    cache.get("d", {})
    assert [path.exists() for path in paths] == [True, False, True]


def test_a_copy_brings_only_what_can_be_trusted(tmp_path):
    good, bad = kept("a" * 64), kept("b" * 64)
    damaged(bad)
    cache.copy(cache.folder(), tmp_path / "guest")
    assert [path.name for path in (tmp_path / "guest").iterdir()] == [good.name]
    assert cache.read(tmp_path / "guest" / good.name) == IMAGE
    cache.copy(tmp_path / "guest", cache.folder())
    assert cache.read(bad) is None


# --- keys


def test_a_key_is_of_all_that_decides_what_is_compiled(monkeypatch):
    monkeypatch.setattr(headers, "fingerprint", lambda: "headers")
    keys = [
        cache.key("text", ["-DA=1"]),
        cache.key("text ", ["-DA=1"]),
        cache.key("text", ["-DA=2"]),
        cache.key("text", ["-DA=1", "-DB=1"]),
    ]
    assert keys[0] == cache.key("text", ["-DA=1"])
    monkeypatch.setattr(headers, "fingerprint", lambda: "newer headers")
    keys.append(cache.key("text", ["-DA=1"]))
    monkeypatch.setenv("HERD_BCC_PATH", "/nonexistent")
    keys.append(cache.key("text", ["-DA=1"]))
    monkeypatch.setattr(cache.platform, "release", lambda: "another kernel")
    keys.append(cache.key("text", ["-DA=1"]))
    monkeypatch.setattr(cache.herd, "__version__", "0")
    keys.append(cache.key("text", ["-DA=1"]))
    assert len(set(keys)) == len(keys)


def test_only_what_is_not_kept_is_compiled(monkeypatch):
    texts = []
    monkeypatch.setattr(
        compiler, "compiled", lambda text, flags: texts.append((text, *flags)) or IMAGE
    )
    assert cache.get("text", {"A": "1"}) == cache.get("text", {"A": "1"}) == IMAGE
    assert texts == [("text", "-DA=1")]
    damaged(next(cache.folder().iterdir()))
    assert cache.get("text", {"A": "1"}) == IMAGE
    assert len(texts) == 2
