"""The curves of a run: a PNG, or text for a terminal."""

import io
import math

COUNTERS = ("samples", "step", "epoch")  # the first that the records have is the x axis
COSTS = ("count", "cycles", "us", "wait_us")
BRAILLE = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, from the top
LABEL_WIDTH = 10

Curve = list[tuple[float, float]]


def curves(records: list[dict]) -> tuple[str, dict[str, Curve]]:
    """The x axis' name and each metric's (x, y), in the order of their first appearance."""
    axis = next((name for name in COUNTERS if any(name in each for each in records)), "record")
    found: dict[str, Curve] = {}
    for index, record in enumerate(records):
        x = record.get(axis, index)
        for name, y in record.items():
            if name not in (*COUNTERS, *COSTS) and _is_number(x) and _is_number(y):
                found.setdefault(name, []).append((x, y))
    return axis, found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def png(records: list[dict], title: str) -> bytes:
    """A PNG with a panel for each curve. Raises ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axis, found = curves(records)
    figure = Figure(figsize=(7, 1 + 2 * max(len(found), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(max(len(found), 1), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, points) in zip(panels, found.items(), strict=False):
        panel.plot(*zip(*points, strict=True))
        panel.set_ylabel(name, parse_math=False)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel(axis)
    panels[0].set_title(title, parse_math=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def text(records: list[dict], columns: int = 80, rows: int = 8, braille: bool = True) -> list[str]:
    """A chart for each curve, `columns` characters wide and `rows` high.

    Without `braille` a point is an asterisk, for terminals that know ASCII only.
    """
    axis, found = curves(records)
    lines: list[str] = []
    for name, points in found.items():
        lines += _chart(name, axis, points, max(columns - LABEL_WIDTH - 2, 8), rows, braille)
    return lines or ["no metric was recorded"]


def _chart(
    name: str, axis: str, points: Curve, columns: int, rows: int, braille: bool
) -> list[str]:
    low, high = min(y for _, y in points), max(y for _, y in points)
    first, last = points[0][0], points[-1][0]
    across, down = (2, 4) if braille else (1, 1)
    dots = _dots(points, columns * across, rows * down)
    body = []
    for row in range(rows):
        cells = "".join(_cell(dots, column, row, braille) for column in range(columns))
        label = f"{high:.4g}" if row == 0 else f"{low:.4g}" if row == rows - 1 else ""
        body.append(f"{label:>{LABEL_WIDTH}} |{cells}".rstrip())
    right = f"{last:g} {axis}"
    foot = f"{first:g}".ljust(max(columns - len(right), 0)) + right
    return [name, *body, " " * (LABEL_WIDTH + 2) + foot, ""]


def _dots(points: Curve, width: int, height: int) -> set[tuple[int, int]]:
    """The points of the curve's line on a raster, (0, 0) at the top left."""
    low, high = min(y for _, y in points), max(y for _, y in points)
    first, last = min(x for x, _ in points), max(x for x, _ in points)

    def place(x: float, y: float) -> tuple[int, int]:
        right = (x - first) / (last - first) if last > first else 0.0
        up = (y - low) / (high - low) if high > low else 0.5
        return round(right * (width - 1)), round((1 - up) * (height - 1))

    dots: set[tuple[int, int]] = set()
    before = place(*points[0])
    for point in points:
        after = place(*point)
        length = max(abs(after[0] - before[0]), abs(after[1] - before[1]), 1)
        for i in range(length + 1):
            dots.add(
                tuple(round(a + (b - a) * i / length) for a, b in zip(before, after, strict=True))
            )
        before = after
    return dots


def _cell(dots: set[tuple[int, int]], column: int, row: int, braille: bool) -> str:
    if not braille:
        return "*" if (column, row) in dots else " "
    bits = 0
    for x in range(2):
        for y in range(4):
            if (2 * column + x, 4 * row + y) in dots:
                bits |= DOTS[x][y]
    return chr(BRAILLE + bits) if bits else " "
