#!/usr/bin/env bash
# Set-up for `make demo` and `make test`: does what is missing, and nothing when all is there.
# Arguments: capabilities of toolkit/herd/host/packages.py that are wanted besides.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VENV=.venv
readonly STAMP=$VENV/.herd-set-up
readonly POLICY=/usr/sbin/policy-rc.d

say() { printf 'setup: %s\n' "$*" >&2; }

# Shows a command's output only if it fails.
quietly() {
  local log code=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || code=$?
  ((code == 0)) || cat "$log" >&2
  rm -f "$log"
  return "$code"
}

# The system's own Python comes first: a .venv made from one in root's home serves root only.
find_python() {
  local name
  for name in /usr/bin/python3.{13,12,11} /usr/bin/python3 python3.{13,12,11} python3; do
    if "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then
      echo "$name"
      return
    fi
  done
  return 1
}

# Of the packages named, those that are not installed. $1: the distribution's family
missing() {
  local family=$1 name
  shift
  for name; do
    case $family in
      debian | ubuntu) [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>&1) == ii* ]] ;;
      fedora | opensuse) rpm -q "$name" >/dev/null 2>&1 ;;
      arch) pacman -Q "$name" >/dev/null 2>&1 ;;
    esac || echo "$name"
  done
}

# A server's package would start it, on port 80: where nothing else decides that, this forbids it meanwhile.
forbid_services() {
  [[ ! -e $POLICY ]] || return 0
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod +x "$POLICY"
  trap 'rm -f "$POLICY"' EXIT
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  forbid_services
  # Most often the lists of packages are there; where not, or too old, they are fetched first.
  apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 ||
    { quietly apt-get update && quietly apt-get install -y --no-install-recommends "$@"; }
}

# Installs what is missing, or says what to type. $1: the distribution's family
ensure_packages() {
  local family=$1 manager
  local -a names
  mapfile -t names < <(missing "$@")
  ((${#names[@]})) || return 0
  case $family in
    debian | ubuntu) manager="apt-get install -y" ;;
    fedora) manager="dnf install -y" ;;
    arch) manager="pacman -S --needed" ;;
    opensuse) manager="zypper install" ;;
  esac
  if [[ $manager == apt-get* && $EUID == 0 ]]; then
    say "installing ${names[*]}"
    apt_install "${names[@]}" || say "that failed; \`herd doctor\` says what it costs"
  else
    say "for all that herd can do, type: sudo $manager ${names[*]}"
  fi
}

# Whether .venv has what is compiled, or can't have it.
is_built() {
  "$VENV/bin/python" -c 'import herd.traffic.client' 2>/dev/null ||
    { "$VENV/bin/python" -c '' 2>/dev/null && ! command -v gcc >/dev/null; }
}

ensure_venv() {
  local python=$1 wanted
  wanted=$(pwd; cat pyproject.toml constraints.txt toolkit/herd/traffic/client.pyx)
  if [[ -e $STAMP && $(<"$STAMP") == "$wanted" ]] && is_built; then
    return
  fi
  say "installing Python packages into $VENV (a minute, the first time)"
  "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || quietly "$python" -m venv --clear "$VENV"
  quietly "$VENV/bin/python" -m pip install --disable-pip-version-check \
    --constraint constraints.txt --editable '.[dev]'
  printf '%s\n' "$wanted" >"$STAMP"
}

# Where nobody else writes bytecode (PYTHONDONTWRITEBYTECODE, common in containers), each run would be a third of
# a second late. Takes a twentieth of one where nothing has changed.
ensure_bytecode() {
  "$VENV/bin/python" -m compileall -q toolkit/herd
}

# Mounts vanish at a reboot, so these are looked at each time.
ensure_kernel() {
  "$VENV/bin/python" -c '
import sys
from herd.host.fix import fix
sys.stderr.writelines(f"setup: {line}\n" for line in fix())'
}

main() {
  local python
  local -a packages
  # Two at once (make demo, make test) take turns.
  exec 9<Makefile
  flock 9
  if command -v apt-get >/dev/null; then ensure_packages debian python3-venv; fi
  python=$(find_python) || { say "Python 3.11 or newer, with venv, is needed"; exit 1; }
  # One word a line: the distribution's family, then its names for what herd uses.
  mapfile -t packages < <("$python" -I toolkit/herd/host/packages.py "$@")
  ensure_packages "${packages[@]}"
  ensure_venv "$python"
  ensure_bytecode
  ensure_kernel
}

main "$@"
