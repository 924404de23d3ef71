"""Lists, shows, plots and exports past runs. RUN is a run's id or `last`."""

import argparse
import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

from fieldtune.console import Console
from fieldtune.errors import FieldtuneError
from fieldtune.text import printable

ROWS = 20  # of a table of metrics


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|plot|export")
    verbs.add_parser("list", help="the recorded runs")
    show = verbs.add_parser("show", help="what a run was and how it went")
    plot = verbs.add_parser("plot", help="its curves, as text or as a PNG")
    export = verbs.add_parser("export", help="its metrics, all of them")
    for verb in (show, plot, export):
        verb.add_argument("run", metavar="RUN", nargs="?", default="last")
    plot.add_argument("--output", type=Path, metavar="PNG", help="write an image")
    export.add_argument("--format", choices=("csv", "json"), default="csv")


def run(args: argparse.Namespace, console: Console) -> None:
    {"list": _list, "show": _show, "plot": _plot, "export": _export}[args.verb](args, console)


def _list(args: argparse.Namespace, console: Console) -> None:
    from fieldtune.runs import store

    runs = store.list_runs()
    data = [{"run": run.id, "state": run.state, **run.info} for run in runs]
    rows = [["run", "task", "board", "state"]]
    rows += [[r["run"], r.get("task", ""), r.get("board", ""), r["state"]] for r in data]
    console.result(data, _table(rows) if runs else ["no run has been recorded here"])


def _show(args: argparse.Namespace, console: Console) -> None:
    from fieldtune.runs import store

    run = store.load(args.run)
    records = run.metrics()
    data = {"run": run.id, "state": run.state, **run.info, "metrics": records}
    facts = {"run": run.id, "state": run.state, **run.info}
    width = max(map(len, facts))
    lines = [f"{printable(k):<{width}}  {printable(_flat(v), 400)}" for k, v in facts.items()]
    names = _columns(records)
    rows = [[_cell(record.get(name)) for name in names] for record in _thin(records)]
    console.result(data, [*lines, "", *(_table([names, *rows]) if records else ["no metrics"])])


def _plot(args: argparse.Namespace, console: Console) -> None:
    from fieldtune.runs import plot, store

    run = store.load(args.run)
    records = run.metrics()
    if args.output is None:
        axis, curves = plot.curves(records)
        braille = (sys.stdout.encoding or "").lower().startswith("utf")
        columns = shutil.get_terminal_size().columns
        lines = [printable(line, 1000) for line in plot.text(records, columns, braille=braille)]
        console.result({"run": run.id, "x": axis, "curves": curves}, lines)
        return
    try:
        image = plot.png(records, run.id)
    except ImportError as error:
        do = "pip install 'fieldtune[demo]', or leave out --output for a plot as text"
        raise FieldtuneError("a PNG needs matplotlib", str(error), do) from error
    _write(args.output, image)
    console.result({"run": run.id, "file": str(args.output)}, [f"{args.output}"])


def _export(args: argparse.Namespace, console: Console) -> None:
    from fieldtune.runs import store

    run = store.load(args.run)
    records = run.metrics()
    if args.format == "json":
        console.result(records, json.dumps(records, indent=2).splitlines())
        return
    out = io.StringIO()
    writer = csv.DictWriter(out, _columns(records), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    console.result(records, out.getvalue().splitlines())


def _columns(records: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _thin(records: list[dict]) -> list[dict]:
    """At most ROWS of them, evenly, first and last included."""
    if len(records) <= ROWS:
        return records
    return [records[round(i * (len(records) - 1) / (ROWS - 1))] for i in range(ROWS)]


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else str(value)


def _flat(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _table(rows: list[list[str]]) -> list[str]:
    shown = [[printable(cell, 60) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FieldtuneError(f"{path} cannot be written", error.strerror or str(error)) from error
