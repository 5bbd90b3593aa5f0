"""Figures as text: rounded to what can be trusted, in Markdown tables."""

from __future__ import annotations


def number(value: float | None) -> str:
    """About three digits; a dash where there is no figure."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(count) >= factor:
            whole = count % factor == 0
            text = f"{abs(count) // factor:.0f}" if whole else number(abs(count) / factor)
            return f"{'-' if count < 0 else ''}{text} {unit}"
    return f"{count:.0f} B"


def ratio(mine: float | None, theirs: float | None) -> float | None:
    """How many times theirs mine is; None when either is missing."""
    return mine / theirs if mine is not None and theirs else None


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its columns aligned in the source too."""
    lines = [head, *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)
