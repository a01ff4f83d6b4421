"""Which packages give this host what herd uses, by distribution.

Standard library only, and it runs as a script too: set-up asks it before anything is installed.
"""

from __future__ import annotations

import os
import platform
import sys

SET_UP = ("compiler", "bcc", "headers", "bpftool", "bpftrace", "qemu")
"""What ``make setup`` installs."""
CAPABILITIES = (*SET_UP, "servers", "browser")
"""The last are those that tests drive; ``make test`` installs them."""

# Keys are os-release IDs. {deb} and {qemu} stand for the machine's name in that distribution.
_PACKAGES: dict[str, dict[str, str]] = {
    "debian": {
        "compiler": "gcc libc6-dev python3-dev",
        "bcc": "python3-bpfcc",
        "headers": "linux-headers-{deb}",
        "bpftool": "bpftool",
        "bpftrace": "bpftrace",
        "qemu": "qemu-system-{qemu_deb} busybox-static kmod",
        "servers": "nginx-light wrk apache2-utils",
        "browser": "chromium",
    },
    "ubuntu": {
        "compiler": "gcc libc6-dev python3-dev",
        "bcc": "python3-bpfcc",
        "headers": "linux-headers-generic",
        "bpftool": "linux-tools-common linux-tools-generic",
        "bpftrace": "bpftrace",
        "qemu": "qemu-system-{qemu_deb} busybox-static kmod",
        "servers": "nginx-light wrk apache2-utils",
        "browser": "chromium-browser",
    },
    "fedora": {
        "compiler": "gcc python3-devel",
        "bcc": "python3-bcc",
        "headers": "kernel-devel",
        "bpftool": "bpftool",
        "bpftrace": "bpftrace",
        "qemu": "qemu-system-{qemu_rpm}",
        "servers": "nginx-core wrk httpd-tools",
        "browser": "chromium",
    },
    "arch": {
        "compiler": "gcc",
        "bcc": "python-bcc",
        "headers": "linux-headers",
        "bpftool": "bpf",
        "bpftrace": "bpftrace",
        "qemu": "qemu-system-{machine}",
        "servers": "nginx wrk apache",
        "browser": "chromium",
    },
    "opensuse": {
        "compiler": "gcc python3-devel",
        "bcc": "python3-bcc",
        "headers": "kernel-default-devel",
        "bpftool": "bpftool",
        "bpftrace": "bpftrace",
        "qemu": "qemu-{qemu_deb}",
        "servers": "nginx wrk apache2-utils",
        "browser": "chromium",
    },
}

_INSTALL = {
    "debian": "apt-get install -y",
    "ubuntu": "apt-get install -y",
    "fedora": "dnf install -y",
    "arch": "pacman -S --needed --noconfirm",
    "opensuse": "zypper --non-interactive install",
}

_NAMES = {"rhel": "fedora", "suse": "opensuse"}


def distribution() -> str | None:
    """The family this host's packages come from: a key such as ``"debian"``; None if unknown."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    for name in [release.get("ID", ""), *release.get("ID_LIKE", "").split()]:
        family = _NAMES.get(name, name.split("-")[0])
        if family in _PACKAGES:
            return family
    return None


def packages(*capabilities: str) -> list[str]:
    """The packages that give these capabilities here; none if the distribution is unknown.

    :param capabilities: of ``CAPABILITIES``
    """
    family = distribution()
    if family is None:
        return []
    names = " ".join(_PACKAGES[family][capability] for capability in capabilities)
    return names.format_map(_machine_names()).split()


def install_command(*capabilities: str) -> str:
    """What a user types to get these capabilities, or a sentence where that cannot be known."""
    family = distribution()
    if family is None:
        return f"install {' and '.join(capabilities)} with this distribution's package manager"
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}{_INSTALL[family]} {' '.join(packages(*capabilities))}"


def _machine_names() -> dict[str, str]:
    machine = platform.machine()
    arm = machine == "aarch64"
    return {
        "machine": machine,
        "deb": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "qemu_deb": "arm" if arm else "x86",
        "qemu_rpm": "aarch64" if arm else "x86",
    }


def main() -> None:
    """Print this distribution's family and the packages that set-up needs, one word a line.

    More capabilities than set-up's are the script's arguments.
    """
    lines = [distribution() or "unknown", *packages(*SET_UP, *sys.argv[1:])]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
