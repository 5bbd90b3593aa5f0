"""Facts that a figure is worth nothing without: machine, kernel, date, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path


def facts(root: Path) -> dict[str, str]:
    """One line per fact, in the order in which they are printed."""
    return {
        "Machine": f"{_cpu_model()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB",
        "System": f"{_system()}, Linux {platform.release()}",
        "Date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "Commit": commit(root),
        "Load before the run": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def commit(root: Path) -> str:
    """The commit of the tree that this script stands in, and whether the tree differs from it."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if not head:
        return "none"
    # Results written by an earlier run are no difference in what is measured.
    changed = _git(root, "status", "--porcelain", "--", ".", ":!benches/compare/*.md", ":!README.md")
    return f"{head} with uncommitted changes" if changed else head


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        return platform.system()
