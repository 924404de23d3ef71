"""native_modules/qnn, compiled under sanitizers, as functions on numpy arrays."""

import struct
import subprocess
from pathlib import Path

import numpy as np

from fieldtune import tree

QNN = tree.source("native_modules", "qnn")
ABSENT = 0xFFFFFFFF
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# What Python hands to the C code is checked by the binding; everything else is in these files.
FLOAT = {"float32.c", "layer_float32.c"}


def sources() -> list[Path]:
    """The C files that train in integers and know no MicroPython."""
    found = [QNN / "scale.c", *QNN.glob("layer_*.c")]
    found += [*QNN.glob("ref/*.c"), *QNN.glob("m0plus/*.c")]
    return sorted(path for path in found if path.name not in FLOAT)


def compile_runner(folder: Path, core: str = "REF") -> Path:
    """Builds the program in `folder` with the kernels of a core, assembly as its C twins.

    Raises CalledProcessError on any warning.
    """
    program = folder / "qnn_runner"
    warn = ["-std=c99", "-Wall", "-Wextra", "-Wno-sign-compare", "-Werror"]
    files = [Path(__file__).with_name("qnn_runner.c"), *sources()]
    subprocess.run(
        ["cc", "-g", "-O1", f"-DQNN_{core}", *SANITIZE, *warn, "-I", QNN, *files, "-o", program],
        check=True,
    )
    return program


class Stopped(AssertionError):
    """A sanitizer, or the runner itself, objected."""


class Runner:
    """The C code in a process that ends when a sanitizer objects, and is started again then."""

    def __init__(self, program: Path):
        self.program = program
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def close(self) -> None:
        """Ends the process. Raises Stopped when it complains at its end, of leaks for example."""
        self.process.stdin.close()
        complaint = self.process.stderr.read().decode()
        if self.process.wait(timeout=20) != 0:
            raise Stopped(complaint)

    def call(self, name: str, numbers, arrays=(), before: int = 0):
        """Runs the function `name`: (result, every array as it is afterwards).

        Arrays of bytes begin `before` bytes behind the start of their heap block. Raises Stopped.
        """
        numbers = [int(each) & 0xFFFFFFFF for each in numbers]
        request = [name.encode().ljust(32, b"\0")]
        request.append(struct.pack(f"<{len(numbers) + 2}I", len(numbers), *numbers, len(arrays)))
        for array in arrays:
            if array is None:
                request.append(struct.pack("<2I", ABSENT, 0))
            else:
                shift = before if array.itemsize == 1 else 0
                request.append(struct.pack("<2I", array.nbytes, shift) + array.tobytes())
        try:
            self.process.stdin.write(b"".join(request))
            self.process.stdin.flush()
        except BrokenPipeError:
            self._stopped()
        result = struct.unpack("<q", self._read(8))[0]
        return result, [each if each is None else self._array(each) for each in arrays]

    def _array(self, like: np.ndarray) -> np.ndarray:
        return np.frombuffer(self._read(like.nbytes), like.dtype).reshape(like.shape).copy()

    def _read(self, count: int) -> bytes:
        data = self.process.stdout.read(count)
        if len(data) != count:
            self._stopped()
        return data

    def _stopped(self) -> None:
        complaint = self.process.stderr.read().decode()
        self.process.wait()
        self._start()
        raise Stopped(complaint)


def same(found, expected, what: str = "") -> None:
    """Compares with tolerance zero; says at which position, what was expected and what found."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, not {expected.shape}"
    wrong = np.argwhere(found != expected)
    if len(wrong):
        at = tuple(int(each) for each in wrong[0])
        raise AssertionError(
            f"{what} {list(at)}: expected {expected[at]}, found {found[at]}"
            f" ({len(wrong)} of {found.size} differ)"
        )
