"""The measurements on one emulated board. Times are its own clock, in which a cycle is a cycle."""

import ast
import statistics
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fieldtune import boards
from fieldtune.demo import ADAPT, Drift
from fieldtune.errors import FieldtuneError
from fieldtune.link.repl import Repl
from fieldtune.model import file, quantize
from fieldtune.model.file import Model
from fieldtune.stream import pump
from fieldtune.stream.session import Session

BATCHES = (1, 16)
STEPS = 16  # measured of each task and batch
STREAMED = 16  # batch size while streaming
RECORDS, EVERY = 16, 8  # metrics records of that many steps each
STRETCHES, FRAMES = 8, 16  # of a transfer, in blocks
BLOCK = 1024  # bytes: a frame's payload
TICKS = 1 << 30  # where time.ticks_us() wraps around
READY = b"ready\r\n"
TIMEOUT = 60.0

Cycles = dict[str, float]


class Bench:
    """A board with the model and the images it is measured with."""

    def __init__(self, port: str, board: str, model: Model, seed: int):
        self._port, self._model, self._seed = port, model, seed
        self._mhz = boards.load(board).clock_hz // 1_000_000
        graph = model.graph
        images = Drift.tilted(seed).adapt
        self._rows = quantize.samples(images, graph.input_scale, graph.signed_input)

    def ram(self) -> dict[str, int]:
        """Free bytes at the prompt of a board that has just booted."""
        with Repl(self._port) as repl:
            return {"prompt": int(repl.exec("import gc; gc.collect(); print(gc.mem_free())"))}

    def stream(self) -> tuple[dict[str, int], Cycles]:
        """Gives the board its model and trains it while samples come over the link.

        Returns the free bytes while training, by batch, and where a step's cycles go: medians of
        the metrics records. A moment in which the host is busy elsewhere, which the board spends
        waiting, falls into one of them.
        """
        with Session(self._port) as session:
            session.push(file.to_bytes(self._model))
            ram = {}
            for batch in BATCHES:
                outcome = self._train(session, batch, 1)
                ram[f"training_batch_{batch}"] = outcome.ram_free_bytes
            outcome = self._train(session, STREAMED, RECORDS * EVERY)
        return ram, streamed(outcome.records, self._mhz)

    def steps(self) -> dict[str, dict[str, Cycles]]:
        """Cycles of a training step and of an inference, samples in RAM, by task and batch."""
        found = {}
        with Repl(self._port, TIMEOUT) as repl:
            self._prepare(repl)
            for name, task in (("training", "finetune"), ("inference", "evaluate")):
                found[name] = {str(n): self._steps(repl, task, n) for n in BATCHES}
        return found

    def transfers(self) -> dict[str, float]:
        """Bytes per million cycles from the host, bare and framed, and the ratio of the two."""
        with Repl(self._port, TIMEOUT) as repl:
            self._prepare(repl)
            bare, framed = self._bare(repl), self._framed(repl)
        return {"block_bytes": BLOCK, "bare": bare, "link": framed, "link_to_bare": framed / bare}

    def _train(self, session: Session, batch: int, steps: int) -> pump.Outcome:
        model = self._model.planned(batch)
        how = pump.Settings(ADAPT.task, batch=batch, rate=ADAPT.rate, seed=self._seed, every=EVERY)
        total = batch * steps
        epochs = pump.epochs(self._rows, -(-total // len(self._rows)), self._seed)
        rows = np.concatenate(list(epochs))[:total]
        return pump.run_whole(session, model.graph, model.plan, how, [rows], total)

    def _prepare(self, repl: Repl) -> None:
        repl.soft_reset()
        repl.exec(Path(__file__).with_name("on_board.py").read_text(encoding="utf-8"))

    def _steps(self, repl: Repl, task: str, batch: int) -> Cycles:
        model = self._model.planned(batch)
        rate = round(ADAPT.rate * (1 << pump.RATE_BITS))
        repl.exec("from binascii import unhexlify; samples = bytearray()")
        for row in self._rows[: STEPS * batch]:
            repl.exec(f"samples.extend(unhexlify('{row.tobytes().hex()}'))")
        call = f"steps({task!r}, {model.plan!r}, samples, {batch}, {rate}, {self._seed})"
        count, microseconds, kernels = ast.literal_eval(repl.exec(call).strip())
        total = microseconds * self._mhz / count
        return {
            "total": round(total),
            "kernels": round(kernels / count),
            "rest": round(total - kernels / count),
        }

    def _bare(self, repl: Repl) -> float:
        repl.exec_no_follow(f"bare({len(self._blocks())}, {BLOCK})")
        repl.serial.timeout = TIMEOUT
        if not repl.serial.read_until(READY).endswith(READY):
            raise FieldtuneError("the board did not start to read")
        for block in self._blocks():
            repl.serial.write(block)
        return self._throughput(repl.follow(TIMEOUT))

    def _framed(self, repl: Repl) -> float:
        printed = []
        link = repl.start_session(
            f"framed({len(self._blocks())})", timeout=TIMEOUT, on_text=printed.append
        )
        for block in self._blocks():
            link.send(0, block)
        link.close()
        printed.append(repl.end_session())
        return self._throughput("".join(printed))

    def _blocks(self) -> list[bytes]:
        """One more than is measured: the clock starts behind the first."""
        size = (STRETCHES * FRAMES + 1) * BLOCK
        data = np.resize(self._rows, size).tobytes()
        return [data[at : at + BLOCK] for at in range(0, size, BLOCK)]

    def _throughput(self, printed: str) -> float:
        """Bytes per million cycles: the median of stretches, as in stream()."""
        return throughput(ast.literal_eval(printed.strip()), self._mhz)


def streamed(records: tuple[dict, ...], mhz: int) -> Cycles:
    """Where a step's cycles go while streaming: medians over records of EVERY steps."""

    def median(values: Iterable[float]) -> float:
        return statistics.median(list(values))

    waits = median(r["wait_us"] * mhz / EVERY for r in records)
    totals = median(r["us"] * mhz / EVERY for r in records)
    kernels = median(r["cycles"] / EVERY for r in records)
    return {
        "batch": STREAMED,
        "total": round(totals),
        "kernels": round(kernels),
        "rest": round(totals - kernels - waits),
        "waiting": round(waits),
        "waiting_share": median(r["wait_us"] / r["us"] for r in records),
    }


def throughput(times: list[int], mhz: int) -> float:
    """Bytes per million cycles from the microseconds, modulo 2^30, at which blocks were there.

    The median of stretches of FRAMES blocks.
    """
    stretches = [
        (times[at + FRAMES] - times[at]) % TICKS for at in range(0, len(times) - FRAMES, FRAMES)
    ]
    return statistics.median(FRAMES * BLOCK / (us * mhz) * 1e6 for us in stretches)
