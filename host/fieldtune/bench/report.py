"""The bench's figures: gathered, written, and as text."""

import json
import os
from pathlib import Path

from fieldtune import __version__, boards
from fieldtune.bench import adaptation, elf
from fieldtune.bench.measure import Bench
from fieldtune.build.image import Image
from fieldtune.console import Console
from fieldtune.emulate import registry
from fieldtune.stream import train

NAME = "{board}-bench"  # of the emulated board, which is not the user's
SEED = 1  # of the model and the order of the images that cycles are counted with
IMAGE_SECTIONS = ("text", "rodata", "data", "bss")


def gather(image: Image, console: Console) -> dict:
    """Measures everything on a freshly flashed emulated board."""
    kind = boards.load(image.board)
    model = train.example_digits(SEED, console)
    name = NAME.format(board=image.board)
    emulated = registry.start(image.board, name, fresh=True, image=image.path, console=console)
    try:
        bench = Bench(str(emulated.device), image.board, model, SEED)
        console.info(f"measuring on the emulated {kind.title}")
        ram = bench.ram()
        while_training, stream = bench.stream()
        steps, link = bench.steps(), bench.transfers()
    finally:
        registry.stop(emulated)
    return {
        "board": image.board,
        "build_id": image.build_id,
        "version": __version__,
        "emulator": _emulator(kind),
        "seed": SEED,
        "clock_hz": kind.clock_hz,
        "unit": f"modelled cycles at {kind.clock_hz // 1_000_000} MHz: the emulator has no cache "
        "misses, flash wait states or bus contention",
        "model": {"name": model.graph.name, "sha256": model.sha256},
        "image": {"bytes": image.size, **_sections(image)},
        "ram_free_bytes": {**ram, **while_training},
        **steps,
        "stream": stream,
        "link_bytes_per_million_cycles": link,
        "adaptation": adaptation.run(console),
    }


def _emulator(board: boards.Board) -> str:
    package = board.folder / "emulator" / "package.json"
    wanted = json.loads(package.read_text(encoding="utf-8"))["dependencies"]
    return f"{board.emulator} {wanted[board.emulator]}"


def _sections(image: Image) -> dict[str, int]:
    program = image.path.with_name("firmware.elf")
    if not program.exists():  # an image that came with the installation
        return image.sections
    sizes = elf.section_sizes(program)
    return {name: sizes.get(f".{name}", 0) for name in IMAGE_SECTIONS}


def write(figures: dict, folder: Path) -> Path:
    """Writes <folder>/<board>.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figures['board']}.json"
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
    return path


def lines(figures: dict) -> list[str]:
    """The figures for people."""
    image, ram, stream = figures["image"], figures["ram_free_bytes"], figures["stream"]
    link, spread = figures["link_bytes_per_million_cycles"], figures["adaptation"]
    seeds = ", ".join(map(str, spread["seeds"]))
    parts = ", ".join(f"{name} {size}" for name, size in image.items() if name != "bytes")
    return [
        f"{figures['board']} (emulated: {figures['emulator']}), build {figures['build_id']}, "
        f"model {figures['model']['name']}, seed {figures['seed']}",
        figures["unit"],
        "",
        f"{'cycles':<24}{'total':>12}{'kernels':>12}{'rest':>12}{'a sample':>12}",
        *_steps("training step", figures["training"]),
        *_steps("inference", figures["inference"]),
        "",
        f"streaming, batch {stream['batch']}: {stream['total']} cycles a step, "
        f"{stream['kernels']} in kernels, {stream['rest']} in Python, preparation and link, "
        f"{stream['waiting']} waiting for data ({100 * stream['waiting_share']:.1f} %)",
        f"link: {link['link']:.0f} bytes per million cycles, "
        f"{100 * link['link_to_bare']:.0f} % of the {link['bare']:.0f} of a bare readinto loop",
        f"image: {image['bytes']} bytes in flash ({parts})",
        f"free RAM: {ram['prompt']} bytes at the prompt, while training "
        + ", ".join(f"{v} at batch {k[15:]}" for k, v in ram.items() if k != "prompt"),
        "",
        f"accuracy on held-out digits, seeds {seeds} (unix simulator), mean +- deviation",
        *[
            f"  {name:<14}{100 * spread[name]['mean']:5.1f} % +- "
            f"{100 * spread[name]['deviation']:.1f}"
            for name in adaptation.ACCURACIES
        ],
    ]


def _steps(what: str, by_batch: dict) -> list[str]:
    return [
        f"{f'{what}, batch {batch}':<24}{of['total']:>12}{of['kernels']:>12}{of['rest']:>12}"
        f"{round(of['total'] / int(batch)):>12}"
        for batch, of in by_batch.items()
    ]
