"""Sends samples to the board, which trains on them, adapts to them or is evaluated on them.

DATA is a .npy, .npz (arrays x and y) or .csv file, or - for CSV lines on standard input: a row is
a sample, in the units of the model's input (0..1 for the example). Training goes on from the
board's present model, the adapted one if there is one; host push starts over. What was sent and
what came back is recorded as a run in ./runs (or FIELDTUNE_RUNS): see host metrics.
"""

from fieldtune.commands import target

TASKS = ("finetune", "head", "evaluate")


def configure(parser) -> None:
    parser.add_argument("data", metavar="DATA", help=".npy, .npz, .csv or -")
    parser.add_argument("--task", choices=TASKS, required=True, help="what the board does with it")
    parser.add_argument(
        "--epochs", type=int, default=1, metavar="N", help="times over the data (1)"
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="default: what the model was planned for"
    )
    parser.add_argument("--lr", type=float, default=0.006, metavar="RATE", help="default: 0.006")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of order and rounding (1)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N samples only")
    parser.add_argument("--window", type=int, metavar="ROWS", help="rows of a CSV per sample")
    parser.add_argument("--stride", type=int, metavar="ROWS", help="rows between windows")
    parser.add_argument(
        "--label", metavar="COLUMN", help="column, or array of an .npz, with labels"
    )
    parser.add_argument(
        "--normalize",
        choices=("none", "global", "per-feature"),
        default="none",
        help="fit the data to the model's input",
    )
    target.configure(parser)


def run(args, console) -> int:
    from fieldtune.stream import job

    request = job.Request(
        data=args.data,
        task=args.task,
        epochs=args.epochs,
        batch=args.batch,
        rate=args.lr,
        seed=args.seed,
        limit=args.limit,
        window=args.window,
        stride=args.stride,
        label=args.label,
        normalize=args.normalize,
    )
    done = job.run(request, lambda: target.session(args, console), console)
    console.result(done.facts, done.lines)
    return job.INTERRUPTED if done.facts["stopped"] else 0
