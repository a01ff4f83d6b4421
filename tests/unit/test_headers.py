"""Which kernel headers bcc gets, from fake trees of the distributions."""

from __future__ import annotations

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from herd.errors import HostError
from herd.host import headers

RELEASE = "6.1.0-56-amd64"


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Debian's two trees, and nothing for the running kernel."""
    monkeypatch.setattr(headers, "SOURCES", tmp_path / "src")
    monkeypatch.setattr(headers, "MODULES", tmp_path / "modules")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    debian_trees(tmp_path / "src", RELEASE)
    return tmp_path / "src"


def debian_trees(src: Path, release: str) -> Path:
    common = src / f"linux-headers-{release.removesuffix('-amd64')}-common"
    write(common / "include/linux/sched.h", release)
    write(common / "Makefile", "all:")
    arch = configured(src / f"linux-headers-{release}")
    write(arch / "Makefile", f"include {common}/Makefile\n")
    return arch


def configured(tree: Path, arch: str = "x86") -> Path:
    write(tree / "include/generated/autoconf.h", tree.name)
    write(tree / f"arch/{arch}/include/generated/asm/unistd.h")
    return tree


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_debians_two_trees_become_one_of_links(sources, tmp_path):
    before = names(sources)
    assert headers.kernel_headers() is None
    folder = headers.ensure_kernel_headers()
    assert folder == headers.kernel_headers() == headers.ensure_kernel_headers()
    assert folder.parent == tmp_path / "cache/herd/kernel-headers"
    assert (folder / "include/linux/sched.h").read_text() == RELEASE
    assert (folder / "include/generated/autoconf.h").is_symlink()
    assert (folder / "Makefile").read_text().startswith("include ")  # the arch tree's wins
    assert not folder.is_symlink()
    assert names(sources) == before


def test_a_refreshed_package_replaces_the_merged_tree(sources):
    old = headers.ensure_kernel_headers()
    abandoned = old.parent / ".new-killed"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    write(sources / f"linux-headers-{RELEASE}/include/generated/new.h")
    write(sources / f"linux-headers-{RELEASE}/include/generated/autoconf.h", "changed")
    new = headers.ensure_kernel_headers()
    assert new != old
    assert (new / "include/generated/new.h").exists()
    assert list(new.parent.iterdir()) == [new]


def test_processes_side_by_side_get_one_whole_tree(sources):
    for number in range(200):
        write(sources / f"linux-headers-6.1.0-56-common/include/linux/{number}.h")
    with ThreadPoolExecutor(8) as pool:
        found = {task.result() for task in [pool.submit(_merge_and_count) for _ in range(8)]}
    assert len(found) == 1
    folder, count = found.pop()
    assert count == 201
    assert list(folder.parent.iterdir()) == [folder]


def _merge_and_count() -> tuple[Path, int]:
    folder = headers.ensure_kernel_headers()
    return folder, len(list((folder / "include/linux").iterdir()))


def test_the_newest_tree_for_this_machine_is_taken(sources):
    debian_trees(sources, "6.1.0-9-amd64")
    configured(sources / "linux-headers-6.9.0-1-arm64", arch="arm64")
    assert headers.ensure_kernel_headers().name.startswith(RELEASE)


def test_the_running_kernels_own_tree_goes_first(sources, tmp_path, monkeypatch):
    own = configured(tmp_path / "src/kernels/6.5.6-300.fc39.x86_64")
    write(own / "include/linux/sched.h")
    build = tmp_path / "modules" / platform.release() / "build"
    build.parent.mkdir(parents=True)
    build.symlink_to(own)
    assert headers.kernel_headers() == own  # whole, so used as it is
    build.unlink()
    build.symlink_to(debian_trees(sources, "6.1.0-9-amd64"))
    assert headers.ensure_kernel_headers().name.startswith("6.1.0-9-amd64")
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/somewhere")
    assert headers.ensure_kernel_headers() == headers.kernel_headers() == Path("/somewhere")


def test_missing_headers_and_a_cache_that_cannot_be_written_say_what_to_do(sources, tmp_path):
    write(tmp_path / "cache")
    with pytest.raises(HostError, match="cannot write") as refused:
        headers.ensure_kernel_headers()
    assert "XDG_CACHE_HOME" in (refused.value.hint or "")
    (sources / f"linux-headers-{RELEASE}/include/generated/autoconf.h").unlink()
    with pytest.raises(HostError, match="no kernel headers") as missing:
        headers.ensure_kernel_headers()
    assert missing.value.hint
