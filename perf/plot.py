"""Plots as SVG, drawn by pygal; without it the benchmarks run and draw nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

__all__ = ["bars", "lines"]

#: The map in a colour of its own, the others in quieter ones; told apart in print and by colour-blind readers.
_COLOURS = {
    "ShardMap": "#d1495b",
    "ByteMap": "#d1495b",
    "ByteMap, 1 thread": "#e89aa4",
    "dict": "#30638e",
    "dict + Lock": "#8fb8de",
    "cereggii": "#edae49",
    "cereggii handle": "#b8860b",
    "ft_utils": "#66a182",
    "private dicts": "#6b6b6b",
    "private maps": "#6b6b6b",
    "nothing": "#b4b4b4",
    "pickle": "#30638e",
    "msgpack": "#edae49",
    "dd": "#b4b4b4",
    "exact LRU": "#30638e",
    "random": "#edae49",
    "shardmap": "#d1495b",
    "redis": "#30638e",
    "valkey": "#edae49",
}

#: Drawn with a thicker line.
_OURS = ("ShardMap", "ByteMap", "shardmap")


def bars(
    title: str,
    unit: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    most: float | None = None,
) -> bytes | None:
    """Groups of horizontal bars, one group a label; bars longer than ``most`` are cut there."""

    def draw(pygal: Any, style: Any) -> Any:
        bars_a_group = sum(any(value is not None for value in values) for values in series.values())
        chart = pygal.HorizontalBar(
            style=style,
            title=title,
            x_title=unit,
            range=(0, most) if most else None,
            width=900,
            height=110 + _more_legend(len(series)) + len(labels) * (14 + 13 * bars_a_group),
            legend_at_bottom=True,
            margin_bottom=20 + _more_legend(len(series)),
            legend_at_bottom_columns=min(len(series), _LEGEND_COLUMNS),
            **_PLAIN,
        )
        # The library draws from the bottom up; a reader begins at the top.
        chart.x_labels = list(reversed(labels))
        for name, values in reversed(list(series.items())):
            cut = [min(value, most) if most and value is not None else value for value in values]
            chart.add(name, list(reversed(cut)))
        return chart

    return _draw(draw, list(reversed(list(series))))


def _decades(series: Mapping[str, Sequence[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Labels at the powers of ten, for y that are logarithms."""
    heights = [y for points in series.values() for _, y in points]
    exponents = range(math.floor(min(heights)), math.ceil(max(heights)) + 1)
    return [{"value": exponent, "label": f"{10**exponent:,}"} for exponent in exponents]


def lines(
    title: str,
    x_title: str,
    y_title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_labels: Sequence[tuple[float, str]],
    *,
    logarithmic: bool = False,
    dots: bool = True,
    dashed: Collection[str] = (),
    from_zero: bool = False,
) -> bytes | None:
    """Lines through points; ``x_labels`` says what to write at which x, ``logarithmic`` is about y.

    What stands before a comma in the name of a series is whose it is, and has the colour.
    """
    if logarithmic:
        # The library's own logarithmic chart takes the logarithm of x, too.
        series = {name: [(x, math.log10(y)) for x, y in points] for name, points in series.items()}

    def draw(pygal: Any, style: Any) -> Any:
        chart = pygal.XY(
            style=style,
            title=title,
            x_title=x_title,
            y_title=y_title,
            width=900,
            height=460 + _more_legend(len(series)),
            show_dots=dots,
            dots_size=2,
            legend_at_bottom=True,
            margin_bottom=20 + _more_legend(len(series)),
            legend_at_bottom_columns=min(len(series), _LEGEND_COLUMNS),
            include_x_axis=from_zero,
            **_PLAIN,
        )
        chart.x_labels = [{"value": value, "label": label} for value, label in x_labels]
        if logarithmic:
            chart.y_labels = _decades(series)
        for name, points in series.items():
            stroke: dict[str, Any] = {"width": 3 if _owner(name) in _OURS else 1.8}
            chart.add(name, list(points), stroke_style=stroke | ({"dasharray": "5, 4"} if name in dashed else {}))
        return chart

    return _draw(draw, list(series))


#: No scripts and no tool-tips, which viewers of a repository do not run anyway.
_PLAIN = {"js": (), "show_legend": True, "print_values": False, "truncate_legend": -1}

#: As many names as fit beside each other.
_LEGEND_COLUMNS = 4


def _more_legend(names: int) -> int:
    """What the rows of the legend after the first take."""
    return (names - 1) // _LEGEND_COLUMNS * 22


def _owner(series: str) -> str:
    """The map that a series is about: ``ShardMap, reads`` is ShardMap's."""
    return series.partition(",")[0]


def _draw(draw: Callable[[Any, Any], Any], names: Sequence[str]) -> bytes | None:
    try:
        import pygal  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from pygal.style import Style  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        print("no plot: pygal is not installed (pip install pygal)", file=sys.stderr)
        return None
    style = Style(
        background="#ffffff",
        plot_background="#ffffff",
        font_family="Helvetica, Arial, sans-serif",
        colors=tuple(_COLOURS.get(name) or _COLOURS.get(_owner(name), "#555555") for name in names),
        opacity="1",
        # A line's own width, where it has one; without this the library's style wins.
        stroke_width="inherit",
        guide_stroke_color="#d0d0d0",
        major_guide_stroke_color="#b0b0b0",
        title_font_size=17,
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=13,
    )
    drawn: bytes = draw(pygal, style).render()
    return drawn
