"""Who is compared: how each candidate is started over the nodes with one worker, and which version it is.

One function per candidate; `CANDIDATES` is the only list of them, in the order of the tables.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

import resp
from processes import Failed, Lab, Server

CONF = Path(__file__).parent / "conf"


@dataclass(frozen=True)
class Programs:
    """Where the programs lie; None: not there, or not wanted."""

    redis: str
    circlet: str | None
    floor: str | None = None
    nutcracker: str | None = None
    envoy: str | None = None
    haproxy: str | None = None


def start_nodes(lab: Lab, redis: str, count: int, *options: str) -> list[Server]:
    """Plain redis-servers without persistence: the nodes behind every candidate."""
    nodes = []
    for index in range(count):
        port = lab.free_port()
        argv = [redis, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        argv += ["--maxclients", "12000", "--tcp-backlog", "4096", "--dir", str(lab.scratch), *options]
        nodes.append(lab.start(f"node-{index + 1}", argv, port))
    return nodes


def start_circlet(lab: Lab, programs: Programs, nodes: list[Server], workers: int = 1, name: str = "circlet") -> Server:
    """Circlet as a person starts it without a configuration file: metrics and logs at their defaults."""
    port = lab.free_port()
    program = _there(programs.circlet, "build it: cargo build --release")
    argv = [program, "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{lab.free_port()}"]
    argv += ["--workers", str(workers)]
    for node in nodes:
        argv += ["--node", f"127.0.0.1:{node.port}"]
    return answering(lab.start(name, argv, port))


def _direct(_lab: Lab, _programs: Programs, nodes: list[Server]) -> Server:
    return Server("direct", nodes[0].port, nodes[0].pid)


def _circlet(lab: Lab, programs: Programs, nodes: list[Server]) -> Server:
    return start_circlet(lab, programs, nodes)


def _floor(lab: Lab, programs: Programs, nodes: list[Server]) -> Server:
    port = lab.free_port()
    program = _there(programs.floor, "build it: cargo build --release --example floor")
    return answering(lab.start("floor", [program, str(port), *(str(node.port) for node in nodes)], port))


def _nutcracker(lab: Lab, programs: Programs, nodes: list[Server]) -> Server:
    port = lab.free_port()
    servers = [f"   - 127.0.0.1:{n.port}:1 {n.name}" for n in nodes]
    conf = _configure(lab, "nutcracker.yml", servers, port=port)
    argv = [_there(programs.nutcracker), "-c", conf, "-a", "127.0.0.1", "-s", str(lab.free_port())]
    return answering(lab.start("nutcracker", argv, port))


def _envoy(lab: Lab, programs: Programs, nodes: list[Server]) -> Server:
    port = lab.free_port()
    endpoint = "            - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}"
    conf = _configure(lab, "envoy.yaml", [endpoint.format(n.port) for n in nodes], port=port, admin=lab.free_port())
    argv = [_there(programs.envoy), "-c", conf, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return answering(lab.start("envoy", argv, port))


def _haproxy(lab: Lab, programs: Programs, nodes: list[Server]) -> Server:
    port = lab.free_port()
    servers = [f"    server {n.name} 127.0.0.1:{n.port}" for n in nodes]
    conf = _configure(lab, "haproxy.cfg", servers, port=port, clients=min(6000, (lab.open_files - 100) // 2))
    return answering(lab.start("haproxy", [_there(programs.haproxy), "-db", "-f", conf], port))


CANDIDATES: dict[str, Callable[[Lab, Programs, list[Server]], Server]] = {
    "circlet": _circlet,
    "floor": _floor,
    "nutcracker": _nutcracker,
    "envoy": _envoy,
    "haproxy": _haproxy,
    "direct": _direct,
}
"""Candidate -> how it is started. `direct` is the first node itself, with no proxy: its CPU is redis-server's."""

TITLES = {
    "circlet": "Circlet",
    "floor": "floor",
    "nutcracker": "nutcracker",
    "envoy": "Envoy",
    "haproxy": "HAProxy TCP",
    "direct": "redis-server directly",
}


def versions(programs: Programs) -> dict[str, str]:
    """What each program says its version is."""
    asked = {
        "circlet": programs.circlet,
        "redis-server": programs.redis,
        "nutcracker": programs.nutcracker,
        "envoy": programs.envoy,
        "haproxy": programs.haproxy,
    }
    return {
        name: _version(program, "-v" if name == "haproxy" else "--version")
        for name, program in asked.items()
        if program
    }


def answering(server: Server) -> Server:
    """The server, once a GET through it is answered without an error."""
    reason = "no answer"
    for _ in range(50):
        try:
            with resp.Client(server.port) as client:
                client.command("GET", "compare")
                return server
        except (OSError, resp.ErrorReply) as failure:
            reason = str(failure)
            resp.pause()
    raise Failed(f"{server.name} listens but does not serve: {reason}")


def _there(program: str | None, cure: str = "not installed") -> str:
    if program is None:
        raise Failed(cure)
    return program


def _configure(lab: Lab, name: str, servers: list[str], **numbers: int) -> str:
    """Write the candidate's configuration from its template into the scratch directory."""
    text = Template((CONF / name).read_text()).substitute(servers="\n".join(servers), **numbers)
    path = lab.scratch / name
    path.write_text(text)
    return str(path)


def _version(program: str, flag: str) -> str:
    done = subprocess.run([program, flag], capture_output=True, text=True, errors="replace", check=False, timeout=20)
    said = (done.stdout + done.stderr).replace(program, "")
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group() if found else "unknown"
