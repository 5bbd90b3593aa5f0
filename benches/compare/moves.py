"""What a change of the nodes costs its clients, and how fast it is: three nodes become four under load.

    make bench-move [ARGS="--keys 1000000 --big-mb 1024"]

Load is redis-benchmark in short slices, GET and SET in turn, before the change and while keys move; it ends at the first
error reply, so a finished slice had none. Then the joining node is replaced by another server without a rate, which gives
the speed between one pair of nodes; many small changes on an idle machine give the fence; a large sorted set moves while
both nodes log every command that takes long. Every figure stands beside its goal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import candidates
import cost
import machine
import resp
from candidates import Programs
from processes import Failed, Lab, Server

ROOT = Path(__file__).resolve().parents[2]
VALUE = 100
SLICE = 15_000
LIMIT = 900.0


@dataclass(frozen=True)
class Slice:
    """One run of redis-benchmark: requests per second, and the slowest hundredth in ms."""

    kind: str
    rps: float
    p99: float


class Bench:
    """A Circlet with a state directory over some of the servers of a lab."""

    def __init__(self, lab: Lab, programs: Programs, nodes: int, name: str) -> None:
        self.lab, self.programs = lab, programs
        self.servers = candidates.start_nodes(lab, programs.redis, nodes)
        port, self.admin = lab.free_port(), lab.free_port()
        argv = [str(programs.circlet), "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{self.admin}"]
        argv += ["--workers", "2", "--state", str(lab.scratch / f"state-{name}")]
        self.joined = nodes - 1
        for index, node in enumerate(self.servers[:-1]):
            argv += ["--node", f"n{index}=127.0.0.1:{node.port}"]
        self.circlet = candidates.answering(lab.start(name, argv, port))
        self.client = resp.Client(port, timeout=300)

    @property
    def spare(self) -> Server:
        """The server that is no node yet."""
        return self.servers[-1]

    def fill(self, keys: int) -> None:
        """Writes the keys that redis-benchmark will ask for, through Circlet."""
        value, step = b"x" * VALUE, 5_000
        for first in range(0, keys, step):
            numbers = range(first, min(keys, first + step))
            self.client.socket.sendall(b"".join(resp.encode("SET", resp.key("k", n), value) for n in numbers))
            for _ in numbers:
                self.client.reply()

    def status(self) -> dict[str, str]:
        """CIRCLET REBALANCE STATUS."""
        words = [word.decode() for word in self.client.command("CIRCLET", "REBALANCE", "STATUS")]  # type: ignore[union-attr]
        return dict(zip(words[::2], words[1::2], strict=True))

    def settle(self) -> float:
        """Waits until nothing is under way; gives the seconds."""
        begin = time.monotonic()
        while self.status()["state"] != "idle":
            if time.monotonic() - begin > LIMIT:
                raise Failed(f"the change is not over: {self.status()}")
            time.sleep(0.02)
        if error := self.status()["last-error"]:
            raise Failed(error)
        return time.monotonic() - begin

    def moving(self) -> bool:
        """Whether keys are on their way to their new nodes."""
        return self.status()["state"] in ("fence", "moving")

    def slice(self, kind: str, keys: int) -> Slice:
        """One short load."""
        words = ["GET", "k:__rand_int__"] if kind == "GET" else ["SET", "k:__rand_int__", "y" * VALUE]
        argv = ["redis-benchmark", "-p", str(self.circlet.port), "-r", str(keys), "-n", str(SLICE), "-c", "16", "--csv"]
        code, output = self.lab.run([*argv, *words], 60.0)
        row = [line for line in output.splitlines() if line.startswith('"') and "rps" not in line]
        if code or not row:
            raise Failed(f"the load ended with {code}: {output[-300:]}")
        cells = [cell.strip('"') for cell in row[-1].rsplit(",", 7)]
        return Slice(kind, float(cells[1]), float(cells[6]))

    def metric(self, name: str) -> float:
        """One sample of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.rsplit(" ", 1)[1])
        raise Failed(f"no {name} in /metrics")


def median(slices: list[Slice], kind: str, of: str) -> float:
    return statistics.median(getattr(one, of) for one in slices if one.kind == kind)


def under_load(lab: Lab, programs: Programs, keys: int, say: Table) -> Bench:
    """Three nodes become four while clients work, paced at the default."""
    bench = Bench(lab, programs, 4, "circlet-load")
    bench.fill(keys)
    before = [bench.slice(kind, keys) for _ in range(8) for kind in ("GET", "SET")]
    memory = cost.memory(bench.circlet.pid)["anon"]
    bench.client.command("CIRCLET", "NODE", "ADD", "n3", f"127.0.0.1:{bench.spare.port}")
    during: list[Slice] = []
    peak = memory
    begin = time.monotonic()
    while bench.moving():
        for kind in ("GET", "SET"):
            during.append(bench.slice(kind, keys))
            peak = max(peak, cost.memory(bench.circlet.pid)["anon"])
    took = time.monotonic() - begin
    moved = int(bench.status()["keys-moved"])
    bench.settle()
    say.row("keys moved, paced, under load", f"{moved:,} in {took:.1f} s", "")
    for kind in ("GET", "SET"):
        rps, p99 = (median(during, kind, of) / median(before, kind, of) for of in ("rps", "p99"))
        say.row(f"{kind}: throughput during / before", f"{rps:.2f}", "at least 0.70", rps >= 0.7)
        say.row(f"{kind}: p99 during / before", f"{p99:.2f}", "at most 3", p99 <= 3)
    say.row("error replies", "0", "0", True)
    say.row("Circlet's memory above before, MB", f"{(peak - memory) / 1e6:.1f}", "does not grow with keys")
    found = bench.client.command("CIRCLET", "REBALANCE", "VERIFY")
    first = dict(zip(found[0][::2], found[0][1::2], strict=True))  # type: ignore[index]
    whole = int(first[b"keys"]) == keys and int(first[b"strays"]) == 0
    say.row("keys afterwards, strays", f"{int(first[b'keys']):,}, {int(first[b'strays'])}", f"{keys:,}, 0", whole)
    return bench


def unpaced(bench: Bench, say: Table) -> None:
    """All keys of one node to another server, as fast as it goes."""
    fresh = candidates.start_nodes(bench.lab, bench.programs.redis, 1)[0]
    bench.client.command("CIRCLET", "REBALANCE", "RATE", 0)
    bench.client.command("CIRCLET", "NODE", "REPLACE", "n0", f"127.0.0.1:{fresh.port}")
    begin = time.monotonic()
    while bench.moving():
        time.sleep(0.005)
    took = time.monotonic() - begin
    moved = int(bench.status()["keys-moved"])
    bench.settle()
    say.row("unpaced, one pair, keys per second", f"{moved / took:,.0f}", "at least 100,000", moved / took >= 1e5)


def fences(lab: Lab, programs: Programs, changes: int, say: Table) -> None:
    """Many small changes on an idle machine: how long moving keys wait."""
    bench = Bench(lab, programs, 4, "circlet-fence")
    bench.fill(1_000)
    bench.client.command("CIRCLET", "REBALANCE", "RATE", 0)
    for number in range(changes):
        bench.client.command("CIRCLET", "NODE", "WEIGHT", "n0", "2" if number % 2 == 0 else "1")
        bench.settle()
    count = bench.metric('circlet_fence_seconds_count{way="forth"}')
    mean = bench.metric('circlet_fence_seconds_sum{way="forth"}') / count * 1e3
    below = bench.metric('circlet_fence_seconds_bucket{way="forth",le="0.016384"}') / count
    say.row("fence: mean, ms", f"{mean:.2f}", "")
    say.row("fence: part below 16.4 ms", f"{below:.3f}", "0.99 below 20 ms", below >= 0.99)


def big_key(lab: Lab, programs: Programs, megabytes: int, say: Table) -> None:
    """One large sorted set moves; nothing else on its nodes may wait for long."""
    bench = Bench(lab, programs, 2, "circlet-big")
    members, step = megabytes * 8_000, 2_000
    for first in range(0, members, step):
        words = [word for n in range(first, first + step) for word in (n, f"member:{n:012d}:{'m' * 16}")]
        bench.client.command("ZADD", "big", *words)
    size = int(bench.client.command("MEMORY", "USAGE", "big"))  # type: ignore[call-overload]
    nodes = [resp.Client(server.port, timeout=60) for server in bench.servers]
    for node in nodes:
        node.command("CONFIG", "SET", "slowlog-log-slower-than", 1_000)
        node.command("SLOWLOG", "RESET")
    bench.client.command("CIRCLET", "REBALANCE", "RATE", 0)
    begin = time.monotonic()
    bench.client.command("CIRCLET", "NODE", "REPLACE", "n0", f"127.0.0.1:{bench.spare.port}")
    bench.settle()
    took = time.monotonic() - begin
    slowest = max((entry[2] for node in nodes for entry in node.command("SLOWLOG", "GET", 1_000)), default=0)  # type: ignore[union-attr]
    there = bench.client.command("ZCARD", "big") == members
    say.row(f"sorted set of {size / 1e6:,.0f} MB, {members:,} members", f"{took:.1f} s", "whole", there)
    say.row("longest command on either node, ms", f"{slowest / 1e3:.1f}", "at most 100", slowest <= 100_000)


class Table:
    """The rows, shown as they come."""

    def __init__(self) -> None:
        print("| what | measured | goal | |\n|---|---|---|---|")
        self.missed = False

    def row(self, what: str, measured: str, goal: str, met: bool | None = None) -> None:
        verdict = {None: "", True: "ok", False: "over"}[met]
        self.missed |= met is False
        print(f"| {what} | {measured} | {goal} | {verdict} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys under load")
    parser.add_argument("--changes", type=int, default=100, help="small changes that measure the fence")
    parser.add_argument("--big-mb", type=int, default=1_024, help="megabytes of the sorted set; 0: leave it out")
    parser.add_argument("--circlet", default=str(ROOT / "target/release/circlet"), help="the program")
    options = parser.parse_args()
    programs = Programs(redis="redis-server", circlet=options.circlet)
    print("\n".join(f"{name}: {value}" for name, value in machine.facts(ROOT).items()) + "\n")
    with Lab(ROOT / "target/compare") as lab:
        say = Table()
        fences(lab, programs, options.changes, say)
        unpaced(under_load(lab, programs, options.keys, say), say)
        if options.big_mb:
            big_key(lab, programs, options.big_mb, say)
    return 0


if __name__ == "__main__":
    sys.exit(main())
