"""Starting servers and load generators, and ending exactly those again.

A `Lab` owns every process of one run: on leaving the `with` block, by an error or Ctrl-C too, each is ended by its own
pid, and its scratch directory is removed. If this script itself is killed, the kernel ends the children
(PR_SET_PDEATHSIG). All servers listen on 127.0.0.1, on ports that were free when they were chosen, below the range that
outgoing connections use, so that thousands of clients cannot take one in between.
"""

from __future__ import annotations

import ctypes
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PORTS = range(20_000, 32_000)
START_LIMIT = 20.0
STOP_LIMIT = 5.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A server did not start, or a run gave no usable result. The text says which and why."""


RUN_FAILURES = (Failed, OSError)
"""What spoils one run without spoiling the others: no usable result, or a server that is gone."""


@dataclass
class Server:
    """A server that is up: where it listens, and the pid whose CPU and memory are its cost."""

    name: str
    port: int
    pid: int


class Lab:
    """All processes of one run, and the directory they may write to."""

    def __init__(self, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        self.logs = target / "log"
        self.logs.mkdir(exist_ok=True)
        self.scratch = Path(tempfile.mkdtemp(prefix="run-", dir=target))
        self.open_files = raise_open_files()
        self._running: list[subprocess.Popen] = []
        self._ports: set[int] = set()

    def __enter__(self) -> Lab:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _leave)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_LIMIT
        for process in self._running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def free_port(self) -> int:
        """A port nothing listens on now, never given out twice."""
        for port in random.sample(PORTS, len(PORTS)):
            if port in self._ports:
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self._ports.add(port)
            return port
        raise Failed(f"no free port in {PORTS.start}-{PORTS.stop}")

    def start(self, name: str, argv: list[str], port: int) -> Server:
        """Start a server and wait until it accepts connections on `port`; its output goes to a log file."""
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = self._spawn(argv, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise Failed(f"{name} ended at start with code {process.returncode}: {last_lines(log)}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return Server(name, port, process.pid)
            except OSError:
                time.sleep(0.05)
        self.stop(process.pid)
        raise Failed(f"{name} did not listen on port {port} within {START_LIMIT:.0f} s: {last_lines(log)}")

    def run(self, argv: list[str], limit: float) -> tuple[int, str]:
        """Run a program to its end: exit code and everything it printed. Past `limit` seconds it is ended."""
        process = self._spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f"{argv[0]} did not end within {limit:.0f} s") from None
        finally:
            if process.poll() is not None:
                self._running.remove(process)
        return process.returncode, output

    def background(self, argv: list[str]) -> subprocess.Popen:
        """Start a helper whose end the caller awaits itself (it is ended with the lab all the same)."""
        return self._spawn(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, pid: int) -> None:
        """End one process of this lab before the lab ends."""
        for process in [p for p in self._running if p.pid == pid]:
            process.terminate()
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._running.remove(process)

    def _spawn(self, argv: list[str], **options: Any) -> subprocess.Popen:
        """A child in its own session (Ctrl-C reaches this script alone) that cannot outlive this script."""
        process = subprocess.Popen(
            argv,
            cwd=self.scratch,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
            **options,
        )
        self._running.append(process)
        return process


def raise_open_files() -> int:
    """Raise this process's limit of open files to what the system allows; the children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log, on one line, for an error message."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-count:]) or "it printed nothing"


def _leave(signum: int, _frame: object) -> None:
    raise SystemExit(128 + signum)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
