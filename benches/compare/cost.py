"""What a process costs: CPU time, system calls, memory; read from the kernel, not from the process.

CPU time is the process's own CPU clock, all its threads, ended ones too, in nanoseconds (clock_getcpuclockid(3): the
clock id of another process is derived from its pid); where the kernel refuses that, utime + stime of /proc/PID/stat,
in ticks.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from processes import Lab

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2


def cpu_ns(pid: int) -> int:
    """CPU time used so far by all threads of a process."""
    try:
        return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        # The command name may hold spaces and brackets: count the fields after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_NS


def machine_busy_ns() -> int:
    """CPU time that the whole machine was not idle, and that the hypervisor took away."""
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + steal) * TICK_NS


def memory(pid: int) -> dict[str, int]:
    """Bytes: `anon` (what the process allocated and touched), `rss`, `peak` (of rss), `virtual`."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)}
    names = {"anon": "RssAnon", "rss": "VmRSS", "peak": "VmHWM", "virtual": "VmSize"}
    return {short: kilobytes.get(name, 0) * 1024 for short, name in names.items()}


def forget_peak(pid: int) -> None:
    """Let VmHWM start again from the present size (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def syscalls(lab: Lab, pid: int, work: Callable[[], object]) -> int | None:
    """System calls of a process while `work` runs, by perf or else strace; None when neither is permitted.

    Both slow the process down (strace by far more), so this is never the run whose CPU time counts.
    """
    report = lab.scratch / "syscalls"
    report.unlink(missing_ok=True)
    for count in (_perf, _strace):
        total = count(lab, pid, work, report)
        if total is not None:
            return total
    return None


def _perf(lab: Lab, pid: int, work: Callable[[], object], report: Path) -> int | None:
    if shutil.which("perf") is None:
        return None
    tracer = lab.background(["perf", "stat", "-x,", "-o", str(report), "-e", "raw_syscalls:sys_enter", "-p", str(pid)])
    found = _while_traced(lab, tracer, work, report, r"^(\d+),,raw_syscalls:sys_enter")
    return int(found) if found else None


def _strace(lab: Lab, pid: int, work: Callable[[], object], report: Path) -> int | None:
    if shutil.which("strace") is None:
        return None
    tracer = lab.background(["strace", "-c", "-f", "-qq", "-o", str(report), "-p", str(pid)])
    # The last line of the table: % time, seconds, usecs/call, calls, (errors,) "total".
    found = _while_traced(lab, tracer, work, report, r"^\s*100[.,]00\s+\S+\s+\d+\s+(\d+)\s.*total$")
    return int(found) if found else None


def _while_traced(lab: Lab, tracer, work: Callable[[], object], report: Path, pattern: str) -> str | None:
    """Run `work` between the tracer's attaching and its end by SIGINT, and take the count out of its report."""
    time.sleep(0.3)
    if tracer.poll() is not None:
        return None
    work()
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    lab.stop(tracer.pid)
    found = re.search(pattern, report.read_text() if report.exists() else "", re.MULTILINE)
    return found.group(1) if found else None
