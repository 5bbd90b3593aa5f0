"""One load: what redis-benchmark is told to send, and what it says about it.

redis-benchmark is one thread that keeps `clients` connections busy, each with `pipeline` requests under way, with a new
random key in every request. It ends with an error at the first error reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from processes import Failed, Lab

LIMIT = 120.0
"""Seconds after which a run is given up."""


@dataclass(frozen=True)
class Values:
    """A set of keys of one value size, named after it."""

    size: int
    count: int

    @property
    def prefix(self) -> str:
        return f"v{self.size}"

    @property
    def random_key(self) -> str:
        return f"{self.prefix}:__rand_int__"


@dataclass(frozen=True)
class Load:
    """Requests of one kind. `reads` and `writes`: keys that one request reads or writes."""

    values: Values
    command: tuple[str, ...]
    clients: int
    pipeline: int = 1
    reads: int = 0
    writes: int = 0


def get(values: Values, clients: int, pipeline: int = 1) -> Load:
    """GET of random keys."""
    return Load(values, ("GET", values.random_key), clients, pipeline, reads=1)


def mget(values: Values, keys: int, clients: int) -> Load:
    """MGET of that many random keys."""
    return Load(values, ("MGET", *[values.random_key] * keys), clients, reads=keys)


def mset(values: Values, keys: int, clients: int) -> Load:
    """MSET of that many random keys, each written again as it was."""
    return Load(values, ("MSET", *(values.random_key, "x" * values.size) * keys), clients, writes=keys)


@dataclass(frozen=True)
class Answered:
    """What redis-benchmark saw: requests, how long they took together, and latencies in milliseconds."""

    requests: int
    per_second: float
    p50: float
    p99: float
    p999: float


def send(lab: Lab, benchmark: str, port: int, load: Load, requests: int) -> Answered:
    """Send that many requests and wait for the last reply; an error reply is a failure of the run."""
    argv = [benchmark, "-h", "127.0.0.1", "-p", str(port), "-c", str(load.clients), "-P", str(load.pipeline)]
    argv += ["-n", str(requests), "-r", str(load.values.count), "--precision", "3", *load.command]
    code, output = lab.run(argv, LIMIT)
    if code != 0 or "Error from server" in output:
        raise Failed(f"redis-benchmark: {_last_line(output)}")
    return parse(output)


def parse(output: str) -> Answered:
    """Read redis-benchmark's report (the one of Redis 6.2 and later, with its percentile table)."""
    completed = re.search(r"(\d+) requests completed in", output)
    throughput = re.search(r"throughput summary: ([\d.]+) requests per second", output)
    summary = re.search(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s+([\d. ]+)", output)
    spectrum = re.findall(
        r"^([\d.]+)% <= ([\d.]+) milliseconds \(cumulative", output.partition("Cumulative dist")[0], re.MULTILINE
    )
    p999 = next((float(value) for percent, value in spectrum if float(percent) >= 99.9), None)
    if not (completed and throughput and summary) or p999 is None:
        raise Failed(f"redis-benchmark printed no percentiles (Redis 6.2 or later is needed): {_last_line(output)}")
    _avg, _min, p50, _p95, p99, _max = map(float, summary.group(1).split())
    return Answered(int(completed.group(1)), float(throughput.group(1)), p50, p99, p999)


def _last_line(output: str) -> str:
    lines = output.replace("\r", "\n").strip().splitlines()
    return lines[-1].strip() if lines else "it printed nothing"
