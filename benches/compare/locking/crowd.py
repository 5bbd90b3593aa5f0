"""Many clients of one Circlet in one process, over bare sockets: as JSON.

    crowd.py pairs SECONDS PORT CLIENTS       each client takes and releases locks of its own, one after the other
    crowd.py queue SECONDS PORT CLIENTS       all of them wait for one lock, and whoever gets it releases it at once
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time

TTL = 30_000


def words(*parts: object) -> bytes:
    """A request."""
    texts = [str(part).encode() for part in parts]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


class Client:
    """A connection, and what it waits for."""

    def __init__(self, port: int, number: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.turn, self.begin, self.buffer = number, 0, 0.0, b""

    def send(self, *parts: object) -> None:
        self.socket.sendall(words(*parts))

    def reply(self) -> bytes | None:
        """A whole reply of one of two kinds: a number, or a list of a bulk and three numbers."""
        self.buffer += self.socket.recv(4_096)
        lines = 6 if self.buffer[:2] == b"*4" else 1
        if self.buffer.count(b"\r\n") < lines:
            return None
        whole, self.buffer = self.buffer, b""
        return whole


def token(granted: bytes) -> str:
    """Of a granted lock."""
    if not granted.startswith(b"*4"):
        raise SystemExit(f"a lock was not granted: {granted!r}")
    return granted.split(b"\r\n")[2].decode()


def told(took: list[float], refused: int, seconds: float, cpu: float) -> None:
    took.sort()
    print(
        json.dumps(
            {
                "pairs": len(took),
                "seconds": seconds,
                "cpu": cpu,
                "p50": took[len(took) // 2],
                "p99": took[len(took) * 99 // 100],
                "refused": refused,
            }
        ),
        flush=True,
    )


def pairs(clients: list[Client], seconds: float) -> None:
    """Each client by itself."""
    poll = selectors.DefaultSelector()
    for client in clients:
        poll.register(client.socket, selectors.EVENT_READ, client)
    print("ready", flush=True)
    sys.stdin.readline()
    took: list[float] = []
    refused = 0
    cpu, begin = time.process_time(), time.perf_counter()
    for client in clients:
        client.begin = begin
        client.send("LOCK.ACQUIRE", f"c{os.getpid()}-{client.number}-0", TTL)
    now = begin
    while now - begin < seconds:
        for key, _ in poll.select(1.0):
            client = key.data
            whole = client.reply()
            if whole is None:
                continue
            if whole[:2] == b"*4":
                client.send("LOCK.RELEASE", f"c{os.getpid()}-{client.number}-{client.turn}", token(whole))
                continue
            now = time.perf_counter()
            if whole == b":1\r\n":
                took.append(now - client.begin)
            else:
                # Not granted, or lost: a machine that is busy otherwise.
                refused += 1
            client.turn, client.begin = client.turn + 1, now
            client.send("LOCK.ACQUIRE", f"c{os.getpid()}-{client.number}-{client.turn}", TTL)
    told(took, refused, now - begin, time.process_time() - cpu)


def queue(clients: list[Client], seconds: float) -> None:
    """All behind one lock; it goes from hand to hand."""
    poll = selectors.DefaultSelector()
    for client in clients:
        poll.register(client.socket, selectors.EVENT_READ, client)
        client.send("LOCK.ACQUIRE", "queue", TTL, "WAIT", 600_000)
    print("ready", flush=True)
    sys.stdin.readline()
    took: list[float] = []
    cpu, begin = time.process_time(), time.perf_counter()
    released, last = 0.0, 0
    now = begin
    while now - begin < seconds:
        for key, _ in poll.select(1.0):
            client = key.data
            whole = client.reply()
            if whole is None:
                continue
            now = time.perf_counter()
            if whole[:1] != b"*":
                client.send("LOCK.ACQUIRE", "queue", TTL, "WAIT", 600_000)
                continue
            fence = int(whole.split(b"\r\n")[3][1:])
            if fence <= last:
                raise SystemExit(f"fence {fence} behind {last}")
            last = fence
            if released:
                took.append(now - released)
            released = time.perf_counter()
            client.send("LOCK.RELEASE", "queue", token(whole))
    told(took, 0, now - begin, time.process_time() - cpu)


def main() -> None:
    what, seconds, port, count = sys.argv[1:]
    clients = [Client(int(port), number) for number in range(int(count))]
    {"pairs": pairs, "queue": queue}[what](clients, float(seconds))


main()
