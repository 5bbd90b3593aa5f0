"""A Redis client just large enough to fill nodes, read INFO and ask whether a server answers."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

from processes import Failed

BATCH = 1 << 20
"""Bytes of requests sent before their replies are read: neither side's buffers fill up."""


class ErrorReply(Failed):
    """The server answered with an error, or closed the connection."""


class Client:
    """One blocking connection to a server on loopback."""

    def __init__(self, port: int, timeout: float = 10.0, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self._input = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._input.close()
        self.socket.close()

    def command(self, *words: object) -> object:
        """Send one command and wait for its reply."""
        self.socket.sendall(encode(*words))
        return self.reply()

    def reply(self) -> object:
        """The next reply: str, int, bytes, None or a list of those."""
        line = self._input.readline()
        if not line.endswith(b"\r\n"):
            raise ErrorReply("the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise ErrorReply(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._input.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise ErrorReply(f"not a reply: {line[:40]!r}")

    def info(self, section: str) -> dict[str, str]:
        """The fields of one section of INFO."""
        text: Any = self.command("INFO", section)
        return dict(re.findall(r"^(\w+):(.*?)\r?$", text.decode(), re.MULTILINE))


def encode(*words: object) -> bytes:
    """A request as an array of bulk strings."""
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def fill(ports: list[int], prefix: str, count: int, size: int) -> None:
    """Write `count` keys of `size` bytes to every one of the nodes.

    Every node holds every key, so that each key is a hit whichever node a proxy's hashing chooses, and with HAProxy,
    which does not choose by key at all.
    """
    value = b"x" * size
    clients = [Client(port, timeout=60) for port in ports]
    step = max(1, BATCH // (size + 64))
    for first in range(0, count, step):
        keys = range(first, min(count, first + step))
        batch = b"".join(encode("SET", key(prefix, index), value) for index in keys)
        for client in clients:
            client.socket.sendall(batch)
        for client in clients:
            for _ in keys:
                client.reply()
    for client in clients:
        client.close()


def key(prefix: str, index: int) -> str:
    """The key that redis-benchmark makes of `prefix:__rand_int__`."""
    return f"{prefix}:{index:012d}"


def pause() -> None:
    """A moment between two attempts."""
    time.sleep(0.1)
