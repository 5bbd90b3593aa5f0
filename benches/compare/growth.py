"""How Circlet's cost grows: one thing changed at a time, from 3 nodes, 50 connections, 1 worker and 64-byte values.

All settings run interleaved, like the comparison's: one Circlet per number of nodes and workers, all up at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import candidates
import load
import resp
from candidates import Programs
from load import Load, Values
from measure import Bench, Run
from processes import RUN_FAILURES, Lab
from report import number, ratio, size, table

NODES = (3, 16, 64)
CONNECTIONS = (50, 1000, 5000)
WORKERS = (1, 2)
VALUES = (
    Values(64, 10_000),
    Values(1 << 10, 10_000),
    Values(16 << 10, 1_000),
    Values(128 << 10, 256),
    Values(1 << 20, 32),
)
QUIET_NODES = ("--hz", "1")
"""Sixty idle nodes would otherwise wake up six hundred times a second beside the measurement."""


@dataclass(frozen=True)
class Setting:
    """One point: the load, and the Circlet it goes to."""

    load: Load
    nodes: int = 3
    workers: int = 1


@dataclass(frozen=True)
class Axis:
    """One table: what changes, the points from the least to the most, and what the reader is to see in it."""

    name: str
    points: tuple[tuple[str, str, Setting], ...]
    about: str


def axes() -> tuple[Axis, ...]:
    """The four tables."""
    base = VALUES[0]
    depths = (("GET P=1", load.get(base, 50)), ("GET P=16", load.get(base, 50, 16)))
    return (
        Axis(
            "Nodes",
            tuple((kind, f"{n} nodes", Setting(what, nodes=n)) for kind, what in depths for n in NODES),
            "The requests that arrive together are spread over more pipes, so each write to a node and each read from "
            "it carries fewer of them; the ring's look-up itself does not depend on the number of nodes. ",
        ),
        Axis(
            "Connections",
            tuple(("GET P=1", f"{n:,} connections", Setting(load.get(base, n))) for n in CONNECTIONS),
            "More clients at once fill the batches to the nodes, while each still costs its own read and write, and "
            "its state leaves the caches; connecting and closing them all is part of the run. ",
        ),
        Axis(
            "Workers",
            tuple(
                (kind, f"{n} worker{'s' * (n > 1)}", Setting(what, workers=n)) for kind, what in depths for n in WORKERS
            ),
            "Each worker has its own pipes and sees a share of the clients, so its batches are smaller; nodes, load "
            "generator and workers share the machine's cores, so the rate says nothing about a larger machine. ",
        ),
        Axis(
            "Value size",
            tuple(("GET P=1", size(values.size), Setting(load.get(values, 50))) for values in VALUES),
            "Small replies cost system calls, large ones copying in the kernel, in and out. ",
        ),
    )


class Growth:
    """The runs of every setting."""

    def __init__(self) -> None:
        self.axes = axes()
        self.runs: dict[Setting, list[Run]] = {}
        self.syscalls: dict[Setting, float | None] = {}
        self.left_out: list[str] = []

    def settings(self) -> list[Setting]:
        """Each setting once, also where it stands in several tables."""
        return list(dict.fromkeys(setting for axis in self.axes for _, _, setting in axis.points))

    def markdown(self) -> str:
        """The tables, each with its explanation and the growth from its first row to its last."""
        parts = [self._table(axis) for axis in self.axes]
        if self.left_out:
            parts.append("Left out:\n\n" + "\n".join(f"- {line}" for line in self.left_out))
        return "\n\n".join(parts)

    def raw(self) -> list[dict]:
        """Every single run, for a file."""
        return [
            {
                "load": " ".join(s.load.command),
                "clients": s.load.clients,
                "pipeline": s.load.pipeline,
                "nodes": s.nodes,
                "workers": s.workers,
                "syscalls": self.syscalls.get(s),
                "runs": [vars(run) for run in runs],
            }
            for s, runs in self.runs.items()
        ]

    def foreign(self) -> float:
        """The median share of the machine that something else used."""
        return median([run.foreign for runs in self.runs.values() for run in runs] or [0.0])

    def _median(self, setting: Setting, figure: str) -> float | None:
        runs = self.runs.get(setting)
        return median([getattr(run, figure) for run in runs]) if runs else None

    def _table(self, axis: Axis) -> str:
        rows, sentences = [], []
        for kind in dict.fromkeys(kind for kind, _, _ in axis.points):
            points = [(label, setting) for k, label, setting in axis.points if k == kind]
            least = self._median(points[0][1], "cpu_us")
            for label, setting in points:
                cost, rate = self._median(setting, "cpu_us"), self._median(setting, "per_second")
                figures = [number(self._median(setting, f)) for f in ("p50", "p99", "p999")]
                figures += [number(self.syscalls.get(setting)), number(cost), number(ratio(cost, least))]
                rows.append([kind, label, number(rate), *figures])
            sentences.append(self._sentence(kind, points[0], points[-1]))
        head = [
            "",
            axis.name,
            "req/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "syscalls/request",
            "CPU µs/request",
            "CPU, × first",
        ]
        return f"### {axis.name}\n\n{axis.about}{' '.join(filter(None, sentences))}\n\n{table(head, rows)}"

    def _sentence(self, kind: str, first: tuple[str, Setting], last: tuple[str, Setting]) -> str:
        """What was measured between the ends of a table, in words."""
        cpu = ratio(self._median(last[1], "cpu_us"), self._median(first[1], "cpu_us"))
        calls = ratio(self.syscalls.get(last[1]), self.syscalls.get(first[1]))
        if cpu is None:
            return ""
        with_calls = f", with {number(calls)} times the system calls" if calls is not None else ""
        return f"{kind}: from {first[0]} to {last[0]} a request costs {number(cpu)} times the CPU{with_calls}."


def measure(
    lab: Lab, programs: Programs, benchmark: str, seconds: float, reps: int, quick: bool, say: Callable[[str], None]
) -> Growth:
    """Take all runs; a setting that fails is left out, with the reason."""
    growth = Growth()
    nodes = candidates.start_nodes(lab, programs.redis, max(NODES), *QUIET_NODES)
    for values in VALUES:
        everywhere = values == VALUES[0]
        ports = [node.port for node in (nodes if everywhere else nodes[:3])]
        resp.fill(ports, values.prefix, values.count, values.size)
    servers = {}
    for wanted in dict.fromkeys((s.nodes, s.workers) for s in growth.settings()):
        count, workers = wanted
        name = f"circlet-{count}-nodes-{workers}-workers"
        servers[wanted] = candidates.start_circlet(lab, programs, nodes[:count], workers, name)

    def each(action: Callable[[Setting, Bench], None]) -> None:
        for setting in growth.settings():
            try:
                action(setting, Bench(lab, benchmark, nodes[: setting.nodes]))
            except RUN_FAILURES as failure:
                line = f"{' '.join(setting.load.command)[:40]}, {setting.load.clients} connections: {failure}"
                say(line)
                growth.left_out.append(line)

    counts: dict[Setting, int] = {}

    def calibrate(setting: Setting, bench: Bench) -> None:
        counts[setting] = bench.requests_for(servers[setting.nodes, setting.workers], setting.load, seconds)

    def repeat(setting: Setting, bench: Bench) -> None:
        run = bench.run(servers[setting.nodes, setting.workers], setting.load, counts[setting])
        growth.runs.setdefault(setting, []).append(run)

    def count_syscalls(setting: Setting, bench: Bench) -> None:
        server = servers[setting.nodes, setting.workers]
        growth.syscalls[setting] = bench.syscalls(server, setting.load, counts[setting] // 3)

    say("growth: warming up")
    each(calibrate)
    for rep in range(reps):
        say(f"growth: repetition {rep + 1} of {reps}")
        each(repeat)
    if not quick:
        say("growth: counting system calls")
        each(count_syscalls)
    return growth
