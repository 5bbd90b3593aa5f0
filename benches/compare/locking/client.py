"""Pairs of acquire and release by one Python client, one after the other: what they cost, as JSON.

    client.py WAY SECONDS PORT...

WAY is `lock` or `prefix` (the port is a Circlet's), `pottery` or `redlock-py` (the ports are the nodes'). All of them speak
through redis-py, and every pair is of another lock.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import redis

TTL = 10_000


def lock(ports: list[int]) -> Callable[[str], None]:
    """LOCK.ACQUIRE and LOCK.RELEASE."""
    client = redis.Redis(port=ports[0])

    def pair(name: str) -> None:
        granted = client.execute_command("LOCK.ACQUIRE", name, TTL)
        if client.execute_command("LOCK.RELEASE", name, granted[0]) != 1:
            raise SystemExit("a lock was lost")

    return pair


def prefix(ports: list[int]) -> Callable[[str], None]:
    """redis-py's own Lock, as on one Redis."""
    client = redis.Redis(port=ports[0])

    def pair(name: str) -> None:
        held = client.lock(f"lock:{name}", timeout=TTL / 1e3, blocking=False, thread_local=False)
        if not held.acquire():
            raise SystemExit("a lock was not granted")
        held.release()

    return pair


def pottery(ports: list[int]) -> Callable[[str], None]:
    """pottery's Redlock over the nodes."""
    from pottery import Redlock

    masters = {redis.Redis(port=port) for port in ports}

    def pair(name: str) -> None:
        held = Redlock(key=name, masters=masters, auto_release_time=TTL / 1e3)
        if not held.acquire(blocking=False):
            raise SystemExit("a lock was not granted")
        held.release()

    return pair


def redlock_py(ports: list[int]) -> Callable[[str], None]:
    """redlock-py over the nodes."""
    from redlock import Redlock

    manager = Redlock([{"host": "127.0.0.1", "port": port, "db": 0} for port in ports])

    def pair(name: str) -> None:
        held = manager.lock(name, TTL)
        if not held:
            raise SystemExit("a lock was not granted")
        manager.unlock(held)

    return pair


WAYS = {"lock": lock, "prefix": prefix, "pottery": pottery, "redlock-py": redlock_py}


def main() -> None:
    way, seconds, *ports = sys.argv[1:]
    pair = WAYS[way]([int(port) for port in ports])
    for number in range(20):
        pair(f"warm-{number}")
    took = []
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, begin = time.process_time(), time.perf_counter()
    end = last = begin
    while last - begin < float(seconds):
        pair(f"{way}-{len(took)}")
        end = time.perf_counter()
        took.append(end - last)
        last = end
    cpu = time.process_time() - cpu
    took.sort()
    told = {
        "pairs": len(took),
        "seconds": end - begin,
        "cpu": cpu,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
    }
    print(json.dumps(told), flush=True)


main()
