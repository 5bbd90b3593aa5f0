"""What is compared, and how cheap Circlet has to be there: one row per cell of the table.

The goals come from a prototype and from peers that were measured once, MGET, MSET and 1,000 connections beside foreign
load. On the machine of RESULTS.md those of MGET and of 1,000 connections are out of reach of the plainest proxy
(floor.rs), and that of P=1 is where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import load
from load import Load, Values

SMALL = Values(64, 10_000)
LARGE = Values(16 * 1024, 1_000)


@dataclass(frozen=True)
class Cell:
    """One load, and the highest allowed ratio of Circlet's CPU time per request to the peer's, in the same run."""

    name: str
    load: Load
    to_nutcracker: float
    to_haproxy: float


CELLS = (
    Cell("GET P=1", load.get(SMALL, 50), 0.80, 0.85),
    Cell("GET P=16", load.get(SMALL, 50, 16), 0.25, 1.10),
    Cell("GET P=64", load.get(SMALL, 50, 64), 0.10, 1.30),
    Cell("MGET 10", load.mget(SMALL, 10, 50), 0.55, 1.10),
    Cell("MSET 10", load.mset(SMALL, 10, 50), 0.65, 1.10),
    Cell("GET 16 KB P=16", load.get(LARGE, 50, 16), 0.55, 1.10),
    Cell("1000 connections P=1", load.get(SMALL, 1000), 0.60, 0.45),
)
"""50 connections and 64-byte values where the name does not say otherwise; P: requests under way per connection."""

VALUES = (SMALL, LARGE)
"""The keys that the cells read: written to every node beforehand."""
