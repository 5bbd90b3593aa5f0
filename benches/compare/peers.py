"""The comparison itself: every cell on every candidate, interleaved, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import candidates
import resp
from candidates import CANDIDATES, TITLES, Programs
from cells import VALUES, Cell
from measure import Bench, Run
from processes import RUN_FAILURES, Lab, Server
from report import number, ratio, table

NODES = 3
SYSCALL_SHARE = 0.3
"""The pass that counts system calls is this part of a run's length."""

TARGETS_SAY = """\
50 connections and 64-byte values where a row does not say otherwise; P: requests under way per connection; one worker
each. HAProxy in TCP mode moves bytes and parses nothing, over one connection to a node per client. The floor (floor.rs)
is the plainest proxy that shares connections to the nodes: one read and one write of each socket per wake-up, and next to
nothing between them. Where it misses a goal, too, its ratio stands beside the verdict: as far as it misses, that is the
kernel's. It scatters as the others do, and copies large values, which Circlet does not."""

RATIOS_SAY = """\
The same as ratios, Circlet to the peer: below 1 Circlet takes less (only for req/s more is better). The last column is
the lowest and the highest CPU ratio among the repetitions."""

FIGURES_SAY = 'All figures. With no proxy between ("directly") the CPU time is that of the redis-server.'


class Comparison:
    """Runs of every (cell, candidate), what was left out and why."""

    def __init__(self, cells: list[Cell], names: list[str], seconds: float, reps: int) -> None:
        self.cells = cells
        self.names = names
        self.seconds = seconds
        self.reps = reps
        self.runs: dict[tuple[str, str], list[Run]] = {}
        self.syscalls: dict[tuple[str, str], float | None] = {}
        self.left_out: list[str] = []

    def measure(self, lab: Lab, programs: Programs, benchmark: str, say: Callable[[str], None]) -> None:
        """Start everything, then take the runs. A candidate that fails somewhere is left out there, with the reason."""
        nodes = candidates.start_nodes(lab, programs.redis, NODES)
        for values in VALUES:
            resp.fill([node.port for node in nodes], values.prefix, values.count, values.size)
        servers = self._start(lab, programs, nodes, say)
        bench = Bench(lab, benchmark, nodes)
        counts = self._calibrate(bench, servers, say)
        for rep in range(self.reps):
            say(f"repetition {rep + 1} of {self.reps}")
            for cell, name in self._rotated(rep, counts):
                try:
                    run = bench.run(servers[name], cell.load, counts[cell.name, name])
                    self.runs.setdefault((cell.name, name), []).append(run)
                except RUN_FAILURES as failure:
                    self._leave_out(f"{TITLES[name]} in {cell.name}: {failure}", say)
        say("counting system calls")
        for cell, name in self._rotated(0, counts):
            requests = int(counts[cell.name, name] * SYSCALL_SHARE)
            try:
                self.syscalls[cell.name, name] = bench.syscalls(servers[name], cell.load, requests)
            except RUN_FAILURES as failure:
                self._leave_out(f"system calls of {TITLES[name]} in {cell.name}: {failure}", say)

    def raw(self) -> list[dict]:
        """Every single run, for a file."""
        return [
            {
                "cell": cell,
                "candidate": name,
                "syscalls": self.syscalls.get((cell, name)),
                "runs": [vars(r) for r in runs],
            }
            for (cell, name), runs in self.runs.items()
        ]

    def markdown(self) -> str:
        """All tables."""
        parts = [TARGETS_SAY, self._targets()]
        ratios = self._ratios()
        if ratios:
            parts += [RATIOS_SAY, ratios]
        parts += [FIGURES_SAY, self._figures()]
        if self.left_out:
            parts.append("Left out:\n\n" + "\n".join(f"- {line}" for line in self.left_out))
        return "\n\n".join(parts)

    def foreign(self) -> float:
        """The median share of the machine that something else used."""
        return median([run.foreign for runs in self.runs.values() for run in runs] or [0.0])

    def _start(
        self, lab: Lab, programs: Programs, nodes: list[Server], say: Callable[[str], None]
    ) -> dict[str, Server]:
        servers = {}
        for name in self.names:
            try:
                servers[name] = CANDIDATES[name](lab, programs, nodes)
            except RUN_FAILURES as failure:
                self._leave_out(f"{TITLES[name]}: {failure}", say)
        return servers

    def _calibrate(
        self, bench: Bench, servers: dict[str, Server], say: Callable[[str], None]
    ) -> dict[tuple[str, str], int]:
        """Requests per run of each (cell, candidate), so that each takes about as long."""
        say("warming up, and finding how many requests fill a run")
        counts = {}
        for cell in self.cells:
            for name, server in servers.items():
                try:
                    counts[cell.name, name] = bench.requests_for(server, cell.load, self.seconds)
                except RUN_FAILURES as failure:
                    self._leave_out(f"{TITLES[name]} in {cell.name}: {failure}", say)
        return counts

    def _rotated(self, rep: int, counts: dict[tuple[str, str], int]) -> Iterator[tuple[Cell, str]]:
        """Cell by cell, the candidates one after the other, each time beginning with another one."""
        for index, cell in enumerate(self.cells):
            names = [name for name in self.names if (cell.name, name) in counts]
            turn = (rep + index) % max(1, len(names))
            for name in names[turn:] + names[:turn]:
                yield cell, name

    def _leave_out(self, line: str, say: Callable[[str], None]) -> None:
        if line not in self.left_out:
            say(line)
            self.left_out.append(line)

    def _median(self, cell: Cell, name: str, figure: str) -> float | None:
        if figure == "syscalls":
            return self.syscalls.get((cell.name, name))
        runs = self.runs.get((cell.name, name))
        return median([getattr(run, figure) for run in runs]) if runs else None

    def _targets(self) -> str:
        rows = []
        for cell in self.cells:
            costs = {name: self._median(cell, name, "cpu_us") for name in CANDIDATES}
            row = [cell.name] + [number(costs[name]) for name in CANDIDATES if name != "direct"]
            for peer, limit in (("nutcracker", cell.to_nutcracker), ("haproxy", cell.to_haproxy)):
                row += verdict(costs["circlet"], costs[peer], limit, costs["floor"])
            rows.append(row)
        proxies = [title for name, title in TITLES.items() if name != "direct"]
        head = ["CPU µs per request", *proxies, "/ nutcracker", "at most", "", "/ HAProxy TCP", "at most", ""]
        return table(head, rows)

    def _ratios(self) -> str:
        figures = {
            "per_second": "req/s",
            "p50": "p50",
            "p99": "p99",
            "p999": "p99.9",
            "syscalls": "syscalls",
            "cpu_us": "CPU",
        }
        rows = []
        for cell in self.cells:
            for peer in ("floor", "nutcracker", "haproxy"):
                if self._median(cell, peer, "cpu_us") is None or self._median(cell, "circlet", "cpu_us") is None:
                    continue
                shares = [ratio(self._median(cell, "circlet", f), self._median(cell, peer, f)) for f in figures]
                spread = _spread(self.runs.get((cell.name, "circlet"), []), self.runs.get((cell.name, peer), []))
                rows.append([cell.name, TITLES[peer], *map(number, shares), spread])
        return table(["Circlet's ratio", "to", *figures.values(), "CPU, least to most"], rows) if rows else ""

    def _figures(self) -> str:
        rows = []
        for cell in self.cells:
            for name in self.names:
                rate = self._median(cell, name, "per_second")
                if rate is None:
                    continue
                latencies = [number(self._median(cell, name, f)) for f in ("p50", "p99", "p999")]
                costs = [number(self._median(cell, name, f)) for f in ("syscalls", "cpu_us")]
                rows.append([cell.name, TITLES[name], f"{rate:,.0f}", *latencies, *costs])
        return table(["", "", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "syscalls/request", "CPU µs/request"], rows)


def verdict(mine: float | None, theirs: float | None, limit: float, floor: float | None) -> list[str]:
    """The ratio, the limit, and PASS or over; with the floor's ratio where that is over, too."""
    share, least = ratio(mine, theirs), ratio(floor, theirs)
    if share is None:
        return ["–", number(limit), "–"]
    if share <= limit:
        said = "PASS"
    else:
        said = f"**over**, floor {number(least)}" if least and least > limit else "**over**"
    return [number(share), number(limit), said]


def _spread(mine: list[Run], theirs: list[Run]) -> str:
    """The lowest and highest ratio of CPU time among the repetitions: how far the median may be trusted."""
    shares = [a.cpu_us / b.cpu_us for a, b in zip(mine, theirs) if b.cpu_us]
    return f"{number(min(shares))} to {number(max(shares))}" if shares else "–"
