"""Pub/sub: one publisher, many subscribers of its channel, through Circlet and at a redis-server directly.

The publisher goes in rounds: a pipeline of messages, then it waits until every subscriber has all of them. So nobody
falls behind, no output limit is met, and each byte is accounted for: a round is over when every subscriber has exactly
the bytes of that round's messages. The load is one Python thread, so messages per second say how both compare, not what
they could do; CPU time per delivered message is what counts.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import candidates
import cost
import resp
from candidates import Programs
from processes import RUN_FAILURES, Failed, Lab, Server
from report import number, ratio, table

CHANNEL = "prices"
PAYLOAD = b"x" * 64
ROUND_LIMIT = 30.0
"""Seconds after which a round is given up."""


@dataclass(frozen=True)
class Crowd:
    """How many listen, and how many messages are published at once."""

    subscribers: int
    batch: int


CROWDS = (Crowd(1_000, 1), Crowd(1_000, 16))
QUICK = (Crowd(50, 1), Crowd(50, 16))


@dataclass(frozen=True)
class Run:
    """One run's figures. `cpu_us`, `nodes_us`: CPU time per delivered message, of the server and of the nodes behind it."""

    per_second: float
    cpu_us: float
    nodes_us: float


def measure(
    lab: Lab, programs: Programs, seconds: float, reps: int, quick: bool, say: Callable[[str], None]
) -> dict[tuple[Crowd, str], list[Run]]:
    """Every crowd at both servers, interleaved."""
    nodes = candidates.start_nodes(lab, programs.redis, 3)
    servers = {"directly": nodes[0]}
    try:
        servers = {"circlet": candidates.start_circlet(lab, programs, nodes, name="circlet-pubsub"), **servers}
    except RUN_FAILURES as failure:
        say(f"pub/sub through Circlet: {failure}")
    runs: dict[tuple[Crowd, str], list[Run]] = {}
    for rep in range(reps):
        say(f"pub/sub: repetition {rep + 1} of {reps}")
        for crowd in QUICK if quick else CROWDS:
            for name, server in servers.items() if rep % 2 == 0 else reversed(servers.items()):
                try:
                    runs.setdefault((crowd, name), []).append(one_run(server, nodes, crowd, seconds))
                except RUN_FAILURES as failure:
                    say(f"pub/sub {name}: {failure}")
    return runs


def one_run(server: Server, nodes: list[Server], crowd: Crowd, seconds: float) -> Run:
    """Rounds for about that long."""
    subscribers = [resp.Client(server.port) for _ in range(crowd.subscribers)]
    publisher = resp.Client(server.port)
    try:
        for client in subscribers:
            client.command("SUBSCRIBE", CHANNEL)
        with selectors.DefaultSelector() as ready:
            for client in subscribers:
                ready.register(client.socket, selectors.EVENT_READ)
            behind = [node for node in nodes if node.pid != server.pid]
            publish_round(publisher, ready, crowd)  # warms up
            own, theirs, begin = cost.cpu_ns(server.pid), _cpu(behind), time.monotonic()
            rounds = 0
            while time.monotonic() - begin < seconds:
                publish_round(publisher, ready, crowd)
                rounds += 1
            elapsed = time.monotonic() - begin
            own, theirs = cost.cpu_ns(server.pid) - own, _cpu(behind) - theirs
    finally:
        for client in [*subscribers, publisher]:
            client.close()
    delivered = rounds * crowd.batch * crowd.subscribers
    return Run(rounds * crowd.batch / elapsed, own / delivered / 1000, theirs / delivered / 1000)


def publish_round(publisher: resp.Client, ready: selectors.BaseSelector, crowd: Crowd) -> None:
    """Publishes one pipeline of messages and waits until everybody has exactly these."""
    publisher.socket.sendall(resp.encode("PUBLISH", CHANNEL, PAYLOAD) * crowd.batch)
    due = len(resp.encode("message", CHANNEL, PAYLOAD)) * crowd.batch
    got = {key.fd: 0 for key in ready.get_map().values()}
    complete, deadline = 0, time.monotonic() + ROUND_LIMIT
    while complete < len(got):
        for key, _ in ready.select(timeout=1.0):
            count = len(key.fileobj.recv(1 << 16))  # type: ignore[union-attr]
            got[key.fd] += count
            if count == 0 or got[key.fd] > due:
                raise Failed(f"a subscriber got {got[key.fd]} bytes of {due}, or was disconnected")
            complete += got[key.fd] == due
        if time.monotonic() > deadline:
            raise Failed(f"after {ROUND_LIMIT:.0f} s only {complete} of {len(got)} subscribers had every message")
    for _ in range(crowd.batch):
        receivers = publisher.reply()
        if receivers != crowd.subscribers:
            raise Failed(f"PUBLISH told {receivers} receivers of {crowd.subscribers}")


def _cpu(servers: list[Server]) -> int:
    return sum(cost.cpu_ns(server.pid) for server in servers)


def markdown(runs: dict[tuple[Crowd, str], list[Run]]) -> str:
    """The table."""
    about = (
        "One publisher, all subscribers on its channel, 64-byte messages; the next messages are published when everybody "
        "has the last ones.\nA delivery is one message at one subscriber. Behind Circlet the nodes have one subscriber per "
        "worker, whatever the number of clients."
    )
    rows = []
    for crowd in dict.fromkeys(crowd for crowd, _ in runs):
        figures = {name: runs[crowd, name] for name in ("circlet", "directly") if (crowd, name) in runs}
        for name, title in (("circlet", "Circlet"), ("directly", "redis-server directly")):
            if name not in figures:
                continue
            rate, cpu, nodes = (median(getattr(run, f) for run in figures[name]) for f in ("per_second", "cpu_us", "nodes_us"))
            base = figures.get("directly")
            share = ratio(cpu, median(run.cpu_us for run in base)) if base else None
            rows.append(
                [
                    f"{crowd.subscribers:,} subscribers, {crowd.batch} at once",
                    title,
                    number(rate),
                    f"{rate * crowd.subscribers:,.0f}",
                    number(cpu),
                    number(nodes) if name == "circlet" else "–",
                    number(share),
                ]
            )
    head = ["", "", "messages/s", "deliveries/s", "CPU µs/delivery", "nodes' CPU µs/delivery", "CPU / redis-server"]
    return f"{about}\n\n{table(head, rows)}"


def raw(runs: dict[tuple[Crowd, str], list[Run]]) -> list[dict]:
    """Every single run, for a file."""
    return [{**vars(crowd), "server": name, "runs": [vars(run) for run in of]} for (crowd, name), of in runs.items()]
