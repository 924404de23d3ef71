"""The bench's arithmetic and its output. The measurements themselves are `make bench`."""

import json
import shutil
import struct
import subprocess

import pytest

from fieldtune import cli
from fieldtune.bench import elf, measure, report
from fieldtune.errors import FieldtuneError

MHZ = 125


def record(us: int, cycles: int, wait_us: int) -> dict:
    return {"us": us, "cycles": cycles, "wait_us": wait_us}


def test_one_record_in_which_the_host_was_away_does_not_count():
    steady = record(us=8000, cycles=800_000, wait_us=400)
    disturbed = record(us=80_000, cycles=800_000, wait_us=72_400)
    found = measure.streamed((steady, steady, disturbed), MHZ)
    # A record covers 8 steps: 8000 us are 1000 us, or 125,000 cycles, a step.
    assert found["total"] == 125_000
    assert found["kernels"] == 100_000
    assert found["waiting"] == 6250
    assert found["rest"] == 18_750
    assert found["waiting_share"] == 0.05


def arrivals(blocks: int, apart: int, start: int = 0) -> list[int]:
    return [(start + apart * i) % measure.TICKS for i in range(blocks)]


def test_throughput_is_bytes_per_million_cycles():
    # 1024 bytes every 1024 us are a million bytes a second, 125 million cycles.
    assert measure.throughput(arrivals(129, 1024), MHZ) == pytest.approx(8000)


def test_throughput_survives_the_wrap_of_the_boards_clock():
    wrapping = arrivals(129, 1024, start=measure.TICKS - 5000)
    assert measure.throughput(wrapping, MHZ) == pytest.approx(8000)


def test_throughput_of_a_run_with_a_pause_is_that_of_its_median_stretch():
    times = arrivals(129, 1024)
    times[40:] = [t + 1_000_000 for t in times[40:]]
    assert measure.throughput(times, MHZ) == pytest.approx(8000)


def test_section_sizes_are_those_the_compiler_tells(tmp_path):
    compiler, size = shutil.which("arm-none-eabi-gcc"), shutil.which("arm-none-eabi-size")
    source, built = tmp_path / "a.c", tmp_path / "a.o"
    source.write_text(
        "const char c[100] = {1}; int d[7] = {1}; int b[9]; int f(int x) { return x; }"
    )
    subprocess.run([compiler, "-c", "-fno-common", source, "-o", built], check=True)
    told = subprocess.run([size, "-A", built], check=True, capture_output=True, text=True).stdout
    found = elf.section_sizes(built)
    assert (found[".rodata"], found[".data"], found[".bss"]) == (100, 28, 36)
    assert f".text {found['.text']}" in " ".join(told.split())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"UF2\n" * 50,
        b"\x7fELF\x02\x01" + bytes(100),  # 64 bits
        b"\x7fELF\x01\x01" + bytes(20),  # cut within the header
        b"\x7fELF\x01\x01" + struct.pack("<26xI10xHHH", 1 << 30, 40, 5, 1),  # table outside
    ],
)
def test_what_is_no_elf_file_is_refused(tmp_path, content):
    path = tmp_path / "firmware.elf"
    path.write_bytes(content)
    with pytest.raises(FieldtuneError, match="not a 32-bit ELF file"):
        elf.section_sizes(path)


@pytest.fixture
def figures() -> dict:
    step = {"total": 3000, "kernels": 2000, "rest": 1000}
    spread = {
        name: {"mean": mean, "deviation": 0.01}
        for name, mean in zip(report.adaptation.ACCURACIES, (0.96, 0.7, 0.8, 0.9), strict=True)
    }
    return {
        "board": "pico",
        "build_id": "0123456789abcdef",
        "version": "0.1.0",
        "emulator": "rp2040js 1.4.1",
        "seed": 1,
        "clock_hz": 125_000_000,
        "unit": "modelled cycles at 125 MHz",
        "model": {"name": "digits", "sha256": "00"},
        "image": {"bytes": 354_048, "text": 250_000, "rodata": 90_000, "data": 7000, "bss": 8000},
        "ram_free_bytes": {
            "prompt": 230_000,
            "training_batch_1": 190_000,
            "training_batch_16": 180_000,
        },
        "training": {"1": step, "16": step},
        "inference": {"1": step, "16": step},
        "stream": {
            "batch": 16,
            "total": 3300,
            "kernels": 2000,
            "rest": 1200,
            "waiting": 100,
            "waiting_share": 0.031,
        },
        "link_bytes_per_million_cycles": {
            "block_bytes": 1024,
            "bare": 1000.0,
            "link": 750.0,
            "link_to_bare": 0.75,
        },
        "adaptation": {"seeds": [2, 3, 4, 5, 6], **spread},
    }


def test_the_file_holds_the_figures_and_nothing_unfinished_stays(tmp_path, figures):
    path = report.write(figures, tmp_path / "new" / "folder")
    assert path.name == "pico.json"
    assert json.loads(path.read_text()) == figures
    assert [each.name for each in path.parent.iterdir()] == ["pico.json"]


def test_the_text_says_that_cycles_are_modelled_and_of_which_build(figures):
    text = "\n".join(report.lines(figures))
    assert "modelled cycles at 125 MHz" in text
    assert "0123456789abcdef" in text and "rp2040js 1.4.1" in text and "seed 1" in text


def test_the_text_shows_what_a_step_and_a_sample_take(figures):
    rows = [line.split() for line in report.lines(figures)]
    assert ["training", "step,", "batch", "16", "3000", "2000", "1000", "188"] in rows
    assert ["inference,", "batch", "1", "3000", "2000", "1000", "3000"] in rows


def test_the_text_speaks_of_cycles_and_never_of_time(figures):
    words = " ".join(report.lines(figures)).split()
    assert not {"ms", "us", "s", "seconds", "milliseconds"} & set(words)


def test_a_board_that_counts_no_cycles_is_refused(capsys, tmp_path):
    assert cli.main(["bench", "--board", "unix", "--output", str(tmp_path / "out")]) == 2
    assert "counts no cycles" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
