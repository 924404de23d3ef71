"""Makes and inspects model files."""

import argparse
from pathlib import Path

from fieldtune.console import Console

EXAMPLES = ("digits",)


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="example|info")
    example = verbs.add_parser("example", help="write the built-in example model")
    example.add_argument("name", choices=EXAMPLES)
    example.add_argument("--seed", type=int, default=1, help="of weights and training (1)")
    example.add_argument("--output", type=Path, metavar="FILE", help="(NAME.safetensors)")
    example.add_argument("--untrained", action="store_true", help="initial weights only")
    info = verbs.add_parser("info", help="what is in a model file and what it needs on each board")
    info.add_argument("file", type=Path)
    info.add_argument("--batch", type=int, metavar="N", help="plan for another batch")


def run(args: argparse.Namespace, console: Console) -> None:
    {"example": _example, "info": _info}[args.verb](args, console)


def _example(args: argparse.Namespace, console: Console) -> None:
    from fieldtune.model import example, file
    from fieldtune.stream import pump

    pump.check_seed(args.seed)
    output = args.output or Path(f"{args.name}.safetensors")
    if args.untrained:
        model = example.digits(args.seed)
    else:
        from fieldtune.stream import train

        model = train.example_digits(args.seed, console)
    file.write(model, output)
    data = {
        "file": str(output),
        "bytes": output.stat().st_size,
        "sha256": model.sha256,
        "seed": args.seed,
        "trained": not args.untrained,
    }
    console.result(data, [f"{output}: {data['bytes']} bytes, sha256 {data['sha256']}"])


def _info(args: argparse.Namespace, console: Console) -> None:
    from fieldtune.model import describe, file

    model = file.read(args.file)
    if args.batch is not None:
        model = model.planned(args.batch)
    data = describe.data(model)
    console.result(data, describe.lines(data))
