#!/usr/bin/env python3
"""Makes twemproxy.txt: where a real nutcracker puts keys, for every hash and distribution.

    tests/data/twemproxy.py        # needs redis-server and nutcracker; writes tests/data/twemproxy.txt

Every pool below is served by one nutcracker over real redis-server processes; every key is written through it, then
looked for on the servers. Nothing here knows how nutcracker hashes. The file is text:

    key KEY                        one line per key; bytes that are not letters, digits or -._~ as %XX
    set NAME                       followed by its servers, as nutcracker.yml has them: server ADDRESS
    pool SET HASH DISTRIBUTION TAG followed by the owner of each key: the digit is the server's place in its set

`random` is not here: nutcracker itself puts a key anywhere.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote_from_bytes

HASHES = [
    "one_at_a_time", "md5", "crc16", "crc32", "crc32a", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32", "hsieh", "murmur",
    "jenkins",
]  # fmt: skip
DISTRIBUTIONS = ["ketama", "modula"]

SOCKETS = "/tmp/circlet-golden"
"""The path is part of a unix server's name, and so of where its keys lie."""

SETS = {
    # nothing but addresses, as most files have it
    "plain": ["127.0.0.1:21101:1", "127.0.0.1:21102:1", "127.0.0.1:21103:1"],
    "one": ["127.0.0.1:21101:1"],
    "ten": [f"127.0.0.1:{21101 + number}:1" for number in range(10)],
    "weights": ["127.0.0.1:21104:1", "127.0.0.1:21103:2", "127.0.0.1:21102:5", "127.0.0.1:21101:3"],
    # so light that ketama gives the first one no point at all
    "light": ["127.0.0.1:21101:1", "127.0.0.1:21102:1000", "127.0.0.1:21103:700"],
    # nutcracker sorts by length, then by bytes
    "names": [
        "127.0.0.1:21101:1 redis-b", "127.0.0.1:21102:2 a", "127.0.0.1:21103:1 redis-a", "127.0.0.1:21104:3 zz-a-longer-name",
    ],  # fmt: skip
    # memcached's port is left out of the name
    "port-11211": ["127.0.0.1:11211:1", "127.0.0.2:11211:1", "127.0.0.3:21101:1", "127.0.0.3:11211:2"],
    # the name ends with the colon
    "unix": [f"{SOCKETS}/redis-1.sock:1", f"{SOCKETS}/redis-22.sock:2", f"{SOCKETS}/redis-3.sock:1"],
}

TAGS = {"plain": ["", "{}"], "names": ["{}", "$$"], "weights": ["<>"]}
"""Hash tags of a set's pools; "" is no hash_tag."""

TARGET = Path(__file__).with_suffix(".txt")


def keys() -> list[bytes]:
    """Keys of every length, of all bytes, and with hash tags in every odd shape."""
    rng = random.Random(20)
    odd = (
        "{user}:1 {user}:2 a{user}b x{}y {} {a a} }{ {{a}} {a}{b} {a{b}c} a}b{c} $ $$ $a$ a$b$c$d $$a$ x$a {$}$x$ <a> <<a>> <> "
        "a>b<c> foo{bar}$baz$ {$a$} tag{\xe9\xff}x"
    ).encode("latin-1")
    found = [b"", *odd.split(b" ")]
    found += [f"user:{number}".encode() for number in range(60)]
    found += [f"session:{rng.getrandbits(64):016x}".encode() for _ in range(40)]
    for length in range(1, 61):
        found.append(bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz0123456789:_-") for _ in range(length)))
        found.append(rng.randbytes(length))
    found.append(b"a long key " * 40)
    found.append(rng.randbytes(700))
    return list(dict.fromkeys(found))


def command(*args: bytes) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args)


def connect(address: str) -> socket.socket:
    """Connects to "host:port" or a path, waiting until somebody listens."""
    for _ in range(200):
        try:
            if address.startswith("/"):
                link = socket.socket(socket.AF_UNIX)
                link.connect(address)
            else:
                host, port = address.rsplit(":", 1)
                link = socket.create_connection((host, int(port)))
            link.settimeout(10)
            return link
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on {address}")


def ask(address: str, *commands: bytes) -> list[bytes]:
    """Sends all commands at once; their replies: simple ones as they stand, bulks, and arrays of bulks joined by \\0\\0."""
    with connect(address) as link, link.makefile("rb") as replies:
        link.sendall(b"".join(commands))
        return [reply(replies) for _ in commands]


def reply(replies) -> bytes:
    line = replies.readline().rstrip(b"\r\n")
    if line[:1] == b"-":
        sys.exit(f"error: {line!r}")
    if line[:1] == b"$":
        return replies.read(int(line[1:]) + 2)[:-2]
    if line[:1] == b"*":
        return b"\0\0".join(reply(replies) for _ in range(int(line[1:])))
    return line


def address_of(server: str) -> str:
    return server.split(" ")[0].rsplit(":", 1)[0]


def start_servers(directory: Path) -> list[subprocess.Popen]:
    started = []
    for address in sorted({address_of(server) for servers in SETS.values() for server in servers}):
        if address.startswith("/"):
            where = ["--port", "0", "--unixsocket", address]
        else:
            host, port = address.rsplit(":", 1)
            where = ["--port", port, "--bind", host]
        args = ["redis-server", *where, "--save", "", "--appendonly", "no", "--dir", str(directory)]
        started.append(subprocess.Popen(args, stdout=subprocess.DEVNULL))
    return started


def pools() -> list[tuple[str, str, str, str]]:
    return [
        (servers, name, distribution, tag)
        for servers in SETS
        for tag in TAGS.get(servers, [""])
        for distribution in DISTRIBUTIONS
        for name in HASHES
    ]


def yaml(directory: Path) -> str:
    lines = []
    for number, (servers, name, distribution, tag) in enumerate(pools()):
        lines += [
            f"pool{number}:", f"  listen: {directory}/{number}.sock", f"  hash: {name}", f"  distribution: {distribution}",
            "  redis: true", "  timeout: 5000",
        ]  # fmt: skip
        lines += [f'  hash_tag: "{tag}"'] if tag else []
        lines += ["  servers:", *(f"   - {server}" for server in SETS[servers])]
    return "\n".join(lines) + "\n"


def owners(listen: str, servers: list[str], all_keys: list[bytes]) -> str:
    addresses = [address_of(server) for server in servers]
    for address in addresses:
        ask(address, command(b"FLUSHALL"))
    written = ask(listen, *(command(b"SET", key, b"%d" % number) for number, key in enumerate(all_keys)))
    assert set(written) == {b"+OK"}, written
    found = {}
    for place, address in enumerate(addresses):
        # EXISTS, not KEYS: keys hold any bytes.
        for key, there in zip(all_keys, ask(address, *(command(b"EXISTS", key) for key in all_keys))):
            if there == b":1":
                assert key not in found, f"{key!r} is on two servers"
                found[key] = place
    return "".join(str(found[key]) for key in all_keys)


def main() -> None:
    nutcracker = shutil.which("nutcracker", path=os.environ["PATH"] + ":/usr/sbin")
    if not nutcracker or not shutil.which("redis-server"):
        sys.exit("install nutcracker and redis-server (Debian: apt-get install nutcracker redis-server)")
    version = subprocess.run([nutcracker, "--version"], capture_output=True, text=True).stderr.split("\n")[0]
    os.makedirs(SOCKETS, exist_ok=True)
    started = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        try:
            started += start_servers(directory)
            config = directory / "nutcracker.yml"
            config.write_text(yaml(directory))
            with socket.create_server(("127.0.0.1", 0)) as free:
                stats = str(free.getsockname()[1])
            started.append(subprocess.Popen([nutcracker, "-c", config, "-a", "127.0.0.1", "-s", stats], cwd=directory))
            all_keys = keys()
            lines = [f"# Made by tests/data/twemproxy.py with {version.removeprefix('This is ')}, x86-64."]
            lines += [f"key {quote_from_bytes(key, safe='')}" for key in all_keys]
            for servers, list_of in SETS.items():
                lines += [f"set {servers}", *(f"server {server}" for server in list_of)]
            for number, pool in enumerate(pools()):
                lines.append("pool " + " ".join(part or "-" for part in pool))
                lines.append(owners(f"{directory}/{number}.sock", SETS[pool[0]], all_keys))
            TARGET.write_text("\n".join(lines) + "\n")
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()
            shutil.rmtree(SOCKETS)


if __name__ == "__main__":
    main()
