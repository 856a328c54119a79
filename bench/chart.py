"""A bar chart as SVG text: ours and the peer of each row on one logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 900, 300, 210
BAR, GAP, TOP, BOTTOM = 13, 16, 50, 30
OURS, PEER, TEXT, GRID = "#1f7a5c", "#b9bec6", "#24292f", "#dfe3e8"
TICKS = {
    unit: [(f"{10**j} {name}", 1000.0**k * 10**j) for k, name in enumerate(names) for j in range(3)]
    for unit, names in {"ns": ("ns", "us", "ms", "s"), "B": ("B", "kB", "MB", "GB")}.items()
}


@dataclass(frozen=True)
class Bars:
    """One row: its name, and of both sides the value and what is written behind the bar."""

    name: str
    ours: tuple[float, str]
    peer: tuple[float, str]


def draw(rows: Sequence[Bars], title: str, unit: str) -> str:
    """The chart; `unit` of all its values is ns or B (bytes)."""
    low, high = _span(rows)
    height = TOP + len(rows) * (2 * BAR + GAP) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
        *_grid(unit, low, high, height),
    ]
    for at, row in enumerate(rows):
        y = TOP + at * (2 * BAR + GAP)
        parts.append(f'<text x="{LEFT - 8}" y="{y + BAR + 4}" text-anchor="end">{escape(row.name)}</text>')
        parts += _bar(*row.ours, y, OURS, low, high) + _bar(*row.peer, y + BAR, PEER, low, high)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _span(rows: Sequence[Bars]) -> tuple[float, float]:
    """The decades shown: one below the smallest value, so that its bar has a length."""
    values = [value for row in rows for value in (row.ours[0], row.peer[0])]
    return math.floor(math.log10(min(values))) - 0.3, math.ceil(math.log10(max(values)))


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)


def _bar(value: float, label: str, y: float, colour: str, low: float, high: float) -> list[str]:
    end = _x(value, low, high)
    return [
        f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 1}" fill="{colour}"/>',
        f'<text x="{end + 5:.1f}" y="{y + BAR - 3}" font-size="11">{escape(label)}</text>',
    ]


def _grid(unit: str, low: float, high: float, height: float) -> list[str]:
    parts = []
    for label, value in TICKS[unit]:
        if low <= math.log10(value) <= high:
            x = _x(value, low, high)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM}" stroke="{GRID}"/>')
            parts.append(f'<text x="{x:.1f}" y="{height - 10}" font-size="11" text-anchor="middle">{label}</text>')
    return parts
