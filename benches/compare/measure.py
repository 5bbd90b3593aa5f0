"""One measured run: load on one server, its cost, and the proof that the replies were real.

The nodes' own counters are read before and after. A run counts only if every key it read was found (hits as many as
keys asked for, no miss) and every key it wrote arrived, and if redis-benchmark met no error reply.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

import cost
import load
import resp
from load import Load
from processes import Failed, Lab, Server

FIRST_GUESS = 200
"""Requests of the first try; more follow until a run is long enough to tell the rate."""

TELLING = 0.25
"""Seconds from which on a run tells the rate."""


@dataclass(frozen=True)
class Run:
    """One run's figures. Latencies in milliseconds; `cpu_us`: the proxy's own CPU time per request.

    `foreign`: the share of the machine that neither the server, the nodes nor the load generator used. On a quiet
    machine it is near 0; what it takes away shows in throughput and latency first, in CPU time per request less.
    """

    requests: int
    per_second: float
    p50: float
    p99: float
    p999: float
    cpu_us: float
    foreign: float


@dataclass(frozen=True)
class Bench:
    """What every run needs: the lab, redis-benchmark, and the nodes whose counters prove the replies."""

    lab: Lab
    benchmark: str
    nodes: list[Server]

    def run(self, server: Server, what: Load, requests: int) -> Run:
        """A run of a fixed number of requests."""
        pids = {server.pid, *(node.pid for node in self.nodes)}
        counted = self._counters()
        own, ours, busy, begin = cost.cpu_ns(server.pid), _used_ns(pids), cost.machine_busy_ns(), time.monotonic_ns()
        answered = load.send(self.lab, self.benchmark, server.port, what, requests)
        own, ours = cost.cpu_ns(server.pid) - own, _used_ns(pids) - ours
        busy, elapsed = cost.machine_busy_ns() - busy, time.monotonic_ns() - begin
        _prove(what, answered.requests, counted, self._counters())
        return Run(
            requests=answered.requests,
            per_second=answered.per_second,
            p50=answered.p50,
            p99=answered.p99,
            p999=answered.p999,
            cpu_us=own / answered.requests / 1000,
            foreign=max(0.0, (busy - ours) / elapsed / (os.cpu_count() or 1)),
        )

    def requests_for(self, server: Server, what: Load, seconds: float) -> int:
        """How many requests take about that long; finding out also warms the server up."""
        requests = max(FIRST_GUESS, 2 * what.clients * what.pipeline)
        while True:
            rate = self.run(server, what, requests).per_second
            if requests / rate >= min(TELLING, seconds):
                return max(int(rate * seconds), 2 * what.clients * what.pipeline)
            requests = max(2 * requests, int(rate * TELLING * 1.2))

    def syscalls(self, server: Server, what: Load, requests: int) -> float | None:
        """System calls of the server per request, in a run of its own."""
        requests = max(requests, 50 * what.clients)
        total = cost.syscalls(
            self.lab, server.pid, lambda: load.send(self.lab, self.benchmark, server.port, what, requests)
        )
        return None if total is None else total / requests

    def _counters(self) -> dict[str, int]:
        """Keys found, keys not found, and write commands, summed over the nodes."""
        total = {"hits": 0, "misses": 0, "writes": 0}
        for node in self.nodes:
            with resp.Client(node.port) as client:
                stats, commands = client.info("stats"), client.info("commandstats")
            total["hits"] += int(stats["keyspace_hits"])
            total["misses"] += int(stats["keyspace_misses"])
            for name in ("cmdstat_set", "cmdstat_mset"):
                total["writes"] += int(commands.get(name, "calls=0,").split("=")[1].split(",")[0])
        return total


def _prove(what: Load, requests: int, before: dict[str, int], after: dict[str, int]) -> None:
    grown = {name: after[name] - before[name] for name in after}
    if grown["misses"] or grown["hits"] < requests * what.reads:
        raise Failed(f"of {requests * what.reads} keys read {grown['hits']} were found and {grown['misses']} not")
    if what.writes and grown["writes"] < requests:
        raise Failed(f"of {requests} writes the nodes saw {grown['writes']}")


def _used_ns(pids: set[int]) -> int:
    """CPU time of the servers, of this script, and of the load generators that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(map(cost.cpu_ns, pids)) + time.process_time_ns() + int((ended.ru_utime + ended.ru_stime) * 1e9)
