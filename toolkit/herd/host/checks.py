"""The doctor's checks: what this host can do, found by trying it, never by a version number."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import msgspec

from herd.errors import HostError
from herd.host import headers, mounts, privileges
from herd.host.packages import install_command
from herd.host.trial import TRIALS, Outcome, attempt
from herd.kernels import catalog, tools
from herd.loader import cache

BTF = Path("/sys/kernel/btf/vmlinux")

DESCRIPTORS = 4096
"""Open files for the largest run: 1024 workers, each with a few in the controller."""


class Check(msgspec.Struct, frozen=True):
    """One thing that this host has or lacks."""

    name: str
    found: bool
    detail: str
    """What was found (version, path), or the text of the error."""
    costs: str
    """What it costs to lack it."""
    mend: str | None
    """The command that mends it; None if it is found, or no command can."""
    required: bool
    """Whether ``herd run`` cannot measure wakeups without it."""


def run_checks() -> list[Check]:
    """Every check, in the order to read them. Takes a few seconds: programs are compiled."""
    # Merged once, before several trials would do it side by side.
    headers_mend = _merge_headers()
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        tried = dict(zip(TRIALS, pool.map(attempt, TRIALS), strict=True))
    compiled = _headers(tried["compile"], tried["bcc"], headers_mend)
    needed = [_privileges(), _process_ids(), _bcc(tried["bcc"]), compiled, _btf()]
    mend = next((check.mend for check in needed if not check.found), None)
    probes = [_tracepoints(tried["tracepoints"], mend), _light(tried["light"]), _functions(tried)]
    return [*needed, *probes, *_mounts(), _cache(), _clients(), _descriptors(), _virtual_machines()]


def capable(checks: Iterable[Check] | None = None) -> bool:
    """Whether ``herd run`` would measure wakeups on this host: all that it requires is found.

    :param checks: from ``run_checks``, which runs if they are not given
    """
    return all(check.found for check in checks or run_checks() if check.required)


def _privileges() -> Check:
    can = privileges.may_load_bpf()
    lacks = "has neither CAP_SYS_ADMIN nor both CAP_BPF and CAP_PERFMON"
    return Check(
        name="privileges",
        found=can,
        detail=f"{privileges.who()} {'may load BPF programs' if can else lacks}",
        costs="wakeups stay unknown: only /proc counters and the workers' own log are left",
        mend=None if can else privileges.how_to_get_them(),
        required=True,
    )


def _process_ids() -> Check:
    own = privileges.sees_all_processes()
    return Check(
        name="process ids",
        found=own,
        detail="the kernel's own"
        if own
        else "of a PID namespace, in which the kernel's are not known",
        costs="what the probes see is nobody's, so wakeups stay unknown",
        mend=None if own else privileges.ON_THE_HOST,
        required=True,
    )


def _trial(
    name: str, tried: Outcome, costs: str, mend: str | None, *, required: bool = True
) -> Check:
    """What a trial alone decides."""
    mend = None if tried.worked else mend
    return Check(name, tried.worked, tried.text, costs, mend, required)


def _bcc(tried: Outcome) -> Check:
    costs = "no probe can be compiled, so wakeups stay unknown"
    return _trial("bcc", tried, costs, install_command("bcc"))


def _merge_headers() -> str | None:
    """Merge what is there; returns what mends the headers, should they turn out not to work."""
    try:
        headers.ensure_kernel_headers()
    except HostError as error:
        return error.hint
    named = os.environ.get("BCC_KERNEL_SOURCE")
    return "unset BCC_KERNEL_SOURCE" if named else install_command("headers")


def _headers(tried: Outcome, bcc: Outcome, mend: str | None) -> Check:
    folder = headers.kernel_headers()
    # Without bcc there is no trial, and what is installed is all that can be said.
    found = tried.worked if bcc.worked else folder is not None
    return Check(
        name="kernel headers",
        found=found,
        detail=tried.text if bcc.worked or folder is None else f"{folder}, untried without bcc",
        costs="bcc cannot compile a probe, so wakeups stay unknown",
        mend=None if found else mend,
        required=True,
    )


def _btf() -> Check:
    found = BTF.is_file()
    return Check(
        name="BTF",
        found=found,
        detail=str(BTF) if found else f"{BTF} is not there (CONFIG_DEBUG_INFO_BTF)",
        costs="offsets in the running kernel's structs are unknown, so no listener is recognised",
        mend=None,
        required=True,
    )


def _tracepoints(tried: Outcome, mend: str | None) -> Check:
    costs = "wakeups stay unknown; kernels from 6.3 on have all these tracepoints"
    return _trial("tracepoints", tried, costs, mend)


def _light(tried: Outcome) -> Check:
    costs = "no --probe light: on a busy server the tracepoints cost some per cent more"
    return _trial("light probe", tried, costs, None, required=False)


def _functions(tried: Mapping[str, Outcome]) -> Check:
    ways = [tried["kprobe"], tried["fentry"]]
    working = [way.text for way in ways if way.worked]
    refused = f"kprobe: {ways[0].text}; fentry: {ways[1].text}"
    return Check(
        name="function probes",
        found=bool(working),
        detail="; ".join(working) or refused,
        costs="no second, independent count of wakeups to validate the tracepoints' with",
        mend=None,
        required=False,
    )


def _mounts() -> list[Check]:
    return [_mount(kind, path) for kind, path in mounts.MOUNTS.items()]


def _mount(kind: str, path: str) -> Check:
    found, known = mounts.mounted(path), mounts.supported(kind)
    missing = "not mounted at" if known else "not in this kernel, so not at"
    return Check(
        name="bpffs" if kind == "bpf" else kind,
        found=found,
        detail=path if found else f"{missing} {path}",
        costs="bpftrace, bpftool or perf cannot be used beside herd, whose probes don't need it",
        mend=mounts.mount_command(kind) if known and not found else None,
        required=False,
    )


def _cache() -> Check:
    files, size = cache.used()
    return Check(
        name="BPF cache",
        found=True,
        detail=f"{files} compiled programs, {size >> 10} KiB in {cache.folder()}, which may be removed",
        costs="the first run with new settings compiles them, for a second or two",
        mend=None,
        required=False,
    )


def _clients() -> Check:
    built = find_spec("herd.traffic.client")
    lacks = "herd.traffic.client was not built: no C compiler, or no headers of Python's"
    return Check(
        name="clients",
        found=built is not None,
        detail=str(built.origin) if built else lacks,
        costs="herd run and herd load can't connect to anything",
        mend=None if built else f"{install_command('compiler')}, and install herd again",
        required=True,
    )


def _descriptors() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [_limit(soft), _limit(hard)]
    found = limits[1] >= DESCRIPTORS
    return Check(
        name="descriptors",
        found=found,
        detail=f"{_said(soft)} open files, can be raised to {_said(hard)}",
        costs=f"runs with the most workers or connections are refused: they need {DESCRIPTORS}",
        mend=None if found else f"sudo prlimit --pid $$ --nofile={DESCRIPTORS}",
        required=False,
    )


def _virtual_machines() -> Check:
    absent = tools.missing()
    kernels = ", ".join(kernel.release for kernel in catalog.installed()) or "no kernel to boot yet"
    return Check(
        name="virtual machines",
        found=not absent,
        detail=f"lacks {', '.join(absent)}" if absent else f"qemu and virtme-ng; {kernels}",
        costs="the same run on another kernel is not possible",
        mend=f"{'' if os.geteuid() == 0 else 'sudo '}{sys.executable} -m herd kernels install 6.1"
        if absent
        else None,
        required=False,
    )


def _limit(value: int) -> float:
    return float("inf") if value == resource.RLIM_INFINITY else value


def _said(value: int) -> str:
    return "any number of" if value == resource.RLIM_INFINITY else str(value)
