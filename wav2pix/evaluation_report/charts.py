"""Charts of a report as SVG in the page, in its colours: curves with intervals, and distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wav2pix.html import Html, escape

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 30
# Of the legend, below the chart.
LINE = 15
COLOURS = ("var(--one)", "var(--two)", "var(--three)", "var(--soft)")
NUM_BINS = 40


@dataclass(frozen=True)
class Point:
    """A measured point.

    Attributes:
        label: what stands below it.
        value: its height.
        low: lower end of its interval, or None.
        high: upper end.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None


def curve(name: str, points: Sequence[Point], levels: Mapping[str, Sequence[float]]) -> Html:
    """Points from left to right at equal distances, with bars for their intervals.

    Args:
        name: what is measured, for those who cannot see the chart.
        points: at least one.
        levels: dashed curves by name to compare with, such as chance: a value for each point.
    """
    seen = [value for point in points for value in (point.value, point.low, point.high) if value is not None]
    seen += [value for values in levels.values() for value in values]
    scale = _Scale.around(seen)
    xs = _places(len(points))
    parts = [scale.axis()]
    for index, (label, values) in enumerate(levels.items()):
        line = " ".join(f"{x:.1f},{scale.y(value):.1f}" for x, value in zip(xs, values, strict=True))
        stroke = f'fill="none" stroke="{COLOURS[1 + index % 3]}" stroke-dasharray="5 4"'
        parts.append(f'<polyline points="{line}" {stroke}/>')
        y = HEIGHT + LINE * index
        parts.append(f'<polyline points="{LEFT},{y} {LEFT + 26},{y}" {stroke}/>')
        parts.append(_text(LEFT + 34, y + 4, label, "start"))
    line = " ".join(f"{x:.1f},{scale.y(point.value):.1f}" for x, point in zip(xs, points, strict=True))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>')
    for x, point in zip(xs, points, strict=True):
        parts.append(_text(x, HEIGHT - BOTTOM + 18, point.label, "middle"))
        parts.append(f'<circle cx="{x:.1f}" cy="{scale.y(point.value):.1f}" r="3.5" fill="{COLOURS[0]}"/>')
        if point.low is not None and point.high is not None:
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{scale.y(point.low):.1f}" y2="{scale.y(point.high):.1f}" '
                f'stroke="{COLOURS[0]}"/>'
            )
    return _svg(f"{name} by seconds of speech", parts, len(levels))


def distributions(name: str, groups: Mapping[str, npt.NDArray[np.floating]]) -> Html:
    """Histograms of several groups of numbers over one axis, each as high as there is room.

    Args:
        name: of the axis.
        groups: the numbers by name of the group; an empty group is left out.
    """
    groups = {label: values for label, values in groups.items() if len(values)}
    everything = np.concatenate(list(groups.values()))
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, NUM_BINS + 1)
    scale = _Scale(0.0, 1.05)
    parts: list[str] = []
    for index, (label, values) in enumerate(groups.items()):
        counts = np.histogram(values, edges)[0]
        colour = COLOURS[index % len(COLOURS)]
        line = _steps([scale.y(float(value)) for value in counts / counts.max()], scale.y(0))
        parts.append(f'<polyline points="{line}" fill="{colour}" fill-opacity=".18" stroke="{colour}"/>')
        y = HEIGHT + LINE * index
        parts.append(f'<rect x="{LEFT}" y="{y - 5}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(LEFT + 18, y + 4, label, "start"))
    for place in np.linspace(0, 1, 5):
        x = LEFT + place * (WIDTH - LEFT - RIGHT)
        value = edges[0] + place * (edges[-1] - edges[0])
        parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{value:.2f}", "middle"))
    return _svg(f"distributions of {name}", parts, len(groups))


@dataclass(frozen=True)
class _Scale:
    """Values to heights of the chart."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> _Scale:
        low, high = min(0.0, *values), max(values)
        room = (high - low) * 0.06 or 1.0
        return cls(low, high + room)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def axis(self) -> str:
        parts = []
        for value in np.linspace(self.low, self.high, 5)[:-1]:
            y = self.y(float(value))
            parts.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
            )
            parts.append(_text(LEFT - 6, y + 4, f"{value:.3g}", "end"))
        return "".join(parts)


def _places(count: int) -> list[float]:
    """Horizontal places of so many points, with room to the edges."""
    room = (WIDTH - LEFT - RIGHT) / count
    return [LEFT + room * (index + 0.5) for index in range(count)]


def _steps(heights: Sequence[float], ground: float) -> str:
    """Points of an outline that goes up and down in steps of equal width, from the ground and back to it."""
    edges = np.linspace(LEFT, WIDTH - RIGHT, len(heights) + 1)
    xs = [LEFT, *np.repeat(edges, 2)[1:-1], WIDTH - RIGHT]
    ys = [ground, *np.repeat(heights, 2), ground]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(label: str, parts: Sequence[str], num_lines: int) -> Html:
    """A chart with room below it for so many lines of a legend."""
    height = HEIGHT + LINE * num_lines
    inner = "".join(parts)
    return Html(
        f'<svg role="img" aria-label="{escape(label)}" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">{inner}</svg>'
    )
