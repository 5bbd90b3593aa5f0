"""What memory Circlet takes and gives back, with one worker over three nodes.

Memory is RssAnon: what the process has allocated and touched, without its program text and without the kernel's socket
buffers. Each part starts a Circlet of its own, so that no part inherits what another one left.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import candidates
import cost
import resp
from candidates import Programs
from load import Values
from processes import RUN_FAILURES, Lab, Server
from report import size, table

BIG = Values(1 << 20, 32)
IDLE_LIMIT = 1536
"""Bytes of user memory that an idle connection may take."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `grown`: bytes above the same Circlet's start."""

    situation: str
    anon: int
    grown: int
    remark: str


@dataclass(frozen=True)
class Scale:
    """How much of everything; waits in seconds."""

    idle: tuple[int, ...] = (1_000, 5_000)
    settle: float = 10.0
    later: float = 30.0
    burst_clients: int = 50
    burst_requests: int = 20
    stuck_seconds: float = 20.0
    headers: int = 100


QUICK = Scale(idle=(100, 500), settle=1.0, later=2.0, burst_clients=5, burst_requests=5, stuck_seconds=2.0, headers=10)


class Watched:
    """A freshly started Circlet and its memory at the start."""

    def __init__(self, lab: Lab, programs: Programs, nodes: list[Server], part: str) -> None:
        self.server = candidates.start_circlet(lab, programs, nodes, name=f"circlet-{part}")
        time.sleep(1.0)
        self.start = self.anon()

    def anon(self) -> int:
        return cost.memory(self.server.pid)["anon"]

    def peak(self) -> int:
        """The highest since `cost.forget_peak`; kept by the kernel for all resident memory, so the text goes off it."""
        now = cost.memory(self.server.pid)
        return now["peak"] - (now["rss"] - now["anon"])

    def row(self, situation: str, remark: str = "", anon: int | None = None) -> Row:
        """The memory now (or as given), beside the start's."""
        anon = self.anon() if anon is None else anon
        return Row(situation, anon, anon - self.start, remark)


def measure(lab: Lab, programs: Programs, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """All parts, one after the other."""
    scale = QUICK if quick else Scale()
    nodes = candidates.start_nodes(lab, programs.redis, 3)
    resp.fill([node.port for node in nodes], BIG.prefix, BIG.count, BIG.size)
    rows: list[Row] = []
    for name, part in (("idle", idle), ("burst", burst), ("never reads", never_reads), ("header only", header_only)):
        say(f"memory: {name}")
        try:
            circlet = Watched(lab, programs, nodes, name.replace(" ", "-"))
            rows += part(circlet, nodes, scale)
            lab.stop(circlet.server.pid)
        except RUN_FAILURES as failure:
            say(f"memory: {name}: {failure}")
            rows.append(Row(name, 0, 0, f"not measured: {failure}"))
    return rows


def markdown(rows: list[Row]) -> str:
    """The table."""
    about = "User memory (RssAnon) of Circlet with one worker over three nodes; each part begins with a fresh process."
    lines = [[row.situation, size(row.anon), size(row.grown), row.remark] for row in rows]
    return f"{about}\n\n{table(['', 'memory', 'above the start', ''], lines)}"


def idle(circlet: Watched, _nodes: list[Server], scale: Scale) -> list[Row]:
    """Connections that have each had one reply and then do nothing."""
    rows = [circlet.row("0 connections")]
    clients: list[resp.Client] = []
    for count in scale.idle:
        while len(clients) < count:
            clients.append(resp.Client(circlet.server.port))
            clients[-1].command("GET", "idle")
        time.sleep(scale.settle)
        each = (circlet.anon() - circlet.start) / count
        verdict = "PASS" if each <= IDLE_LIMIT else "**over**"
        rows.append(
            circlet.row(f"{count:,} idle connections", f"{each:,.0f} B each, at most {IDLE_LIMIT:,}: {verdict}")
        )
    for client in clients:
        client.close()
    time.sleep(scale.settle)
    rows.append(circlet.row(f"{scale.settle:.0f} s after all of them left"))
    return rows


def burst(circlet: Watched, _nodes: list[Server], scale: Scale) -> list[Row]:
    """Many clients read many 1 MB values at once; then the same connections stay open and idle."""
    request = b"".join(resp.encode("GET", resp.key(BIG.prefix, i % BIG.count)) for i in range(scale.burst_requests))
    expected = scale.burst_requests * (len(f"${BIG.size}\r\n\r\n") + BIG.size)
    clients = [resp.Client(circlet.server.port) for _ in range(scale.burst_clients)]
    cost.forget_peak(circlet.server.pid)
    for client in clients:
        client.socket.sendall(request)
    complete = _read_all([client.socket for client in clients], expected)
    after = circlet.anon()
    peak = circlet.peak()
    total = size(scale.burst_clients * expected)
    what = f"{scale.burst_clients} clients × {scale.burst_requests} GETs of 1 MB"
    rows = [
        circlet.row(f"{what}: highest", f"{complete} of {len(clients)} clients got all; {total} asked at once", peak),
        circlet.row("right after", anon=after),
    ]
    time.sleep(scale.later)
    rows.append(circlet.row(f"{scale.later:.0f} s later, the connections still open"))
    for client in clients:
        client.close()
    return rows


def never_reads(circlet: Watched, nodes: list[Server], scale: Scale) -> list[Row]:
    """One client pipelines GETs of 1 MB and reads nothing, while another one goes on working."""
    before = sum(cost.memory(node.pid)["anon"] for node in nodes)
    stuck = resp.Client(circlet.server.port, receive_buffer=4096)
    stuck.socket.setblocking(False)
    cost.forget_peak(circlet.server.pid)
    batch = b"".join(resp.encode("GET", resp.key(BIG.prefix, i % BIG.count)) for i in range(100))
    sent, slowest, errors, closed = 0, 0.0, 0, False
    deadline = time.monotonic() + scale.stuck_seconds
    with resp.Client(circlet.server.port, timeout=30.0) as other:
        while time.monotonic() < deadline:
            try:
                sent += 0 if closed else stuck.socket.send(batch[sent % len(batch) :])
            except BlockingIOError:
                pass
            except OSError:
                closed = True
            begin = time.monotonic()
            try:
                other.command("GET", "other")
            except resp.ErrorReply:
                errors += 1
            slowest = max(slowest, time.monotonic() - begin)
            time.sleep(0.005)
    held = max(0, sum(cost.memory(node.pid)["anon"] for node in nodes) - before)
    remark = f"{sent * 100 // len(batch):,} GETs sent, connection {'closed by Circlet' if closed else 'left open'}; "
    remark += f"another client's slowest GET {slowest * 1000:.0f} ms, {errors} errors; the nodes hold {size(held)} more"
    rows = [circlet.row("a client that never reads: highest", remark, circlet.peak())]
    stuck.close()
    time.sleep(scale.settle)
    rows.append(circlet.row(f"{scale.settle:.0f} s after it left"))
    return rows


def header_only(circlet: Watched, _nodes: list[Server], scale: Scale) -> list[Row]:
    """Clients that announce a value of 512 MB and send none of it."""
    virtual = cost.memory(circlet.server.pid)["virtual"]
    header = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n"
    clients = [resp.Client(circlet.server.port) for _ in range(scale.headers)]
    for client in clients:
        client.socket.sendall(header)
    time.sleep(min(scale.settle, 2.0))
    reserved = max(0, cost.memory(circlet.server.pid)["virtual"] - virtual)
    row = circlet.row(
        f"{scale.headers} clients, each only the header of a 512 MB value", f"address space grew by {size(reserved)}"
    )
    for client in clients:
        client.close()
    return [row]


def _read_all(sockets: list[socket.socket], expected: int) -> int:
    """Read until every socket brought `expected` bytes or was closed; how many brought them all."""
    left = dict.fromkeys(sockets, expected)
    space = bytearray(1 << 20)
    with selectors.DefaultSelector() as ready:
        for each in sockets:
            each.setblocking(False)
            ready.register(each, selectors.EVENT_READ, each)
        while ready.get_map():
            events = ready.select(timeout=30)
            if not events:
                break
            for event, _ in events:
                readable: socket.socket = event.data
                try:
                    got = readable.recv_into(space)
                except OSError:
                    got = 0
                left[readable] -= got
                if got == 0 or left[readable] <= 0:
                    ready.unregister(readable)
    return sum(1 for rest in left.values() if rest <= 0)
