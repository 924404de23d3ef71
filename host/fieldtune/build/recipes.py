"""How an image is made: commands and options, one recipe a MicroPython port."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from fieldtune import uf2
from fieldtune.boards import Board
from fieldtune.build import tools
from fieldtune.build.sources import Sources, version_tag
from fieldtune.build.workspace import Lock, run


@dataclass(frozen=True)
class Work:
    """A build's folders and tools. `project` holds boards/, device/ and native_modules/."""

    board: Board
    project: Path
    objects: Path
    sources: Sources
    mpy_cross: Path
    log: Path
    lock: Lock

    def run(self, *command: str | Path) -> None:
        hidden = {
            self.project: "fieldtune",
            self.objects: "objects",
            self.sources.micropython: "micropython",
            self.sources.pico_sdk: "pico-sdk",
            self.sources.tinyusb: "tinyusb",
        }
        env = tools.environment(hidden) | {
            "MICROPY_MPYCROSS": str(self.mpy_cross),
            "MICROPY_GIT_TAG": version_tag(self.sources.micropython),
            "MICROPY_GIT_HASH": "",
        }
        what = f"building the image for {self.board.title}"
        run(command, what, self.log, self.lock, env)


class Unix:
    """MicroPython's unix port, by make."""

    compiler = "gcc"
    flags: list[str] = []
    libraries: list[str] = []
    cross = False
    size = "size"
    elf = "micropython"
    image = "micropython"

    def configure(self, work: Work) -> None:
        """The port's Makefile needs no such step."""

    def make(self, work: Work) -> None:
        work.run(
            "make",
            f"-j{tools.jobs()}",
            "-C",
            work.sources.micropython / "ports" / "unix",
            f"VARIANT_DIR={work.project / 'boards' / work.board.name}",
            f"BUILD={work.objects}",
            f"USER_C_MODULES={work.project / 'native_modules'}",
            f"MPY_LIB_DIR={work.project}",
            f"PYTHON={sys.executable}",
        )

    def collect(self, work: Work, folder: Path) -> bytes:
        """Puts the image's files into `folder`. Returns the bytes of the image."""
        shutil.copy(work.objects / "micropython", folder)
        return (folder / "micropython").read_bytes()


class Rp2:
    """MicroPython's rp2 port, by cmake."""

    compiler = "arm-none-eabi-gcc"
    flags = ["-mcpu=cortex-m0plus", "-mthumb"]
    libraries = ["libc.a", "libm.a", "libgcc.a"]
    cross = True
    size = "arm-none-eabi-size"
    elf = "firmware.elf"
    image = "firmware.uf2"

    def configure(self, work: Work) -> None:
        modules = [work.project / "native_modules" / "micropython.cmake"]
        ulab = work.project / "native_modules" / "ulab" / "micropython.cmake"
        if ulab.is_file():
            modules.append(ulab)
        folder = work.project / "boards" / work.board.name
        settings = {
            "MICROPY_BOARD": f"FIELDTUNE_{work.board.name.upper()}",
            "MICROPY_BOARD_DIR": folder,
            "MICROPY_FROZEN_MANIFEST": folder / "manifest.py",
            "MICROPY_LIB_DIR": work.project,
            "PICO_BUILD_DOCS": "0",
            "PICO_NO_PICOTOOL": "1",  # it would come from the network; uf2.py makes the UF2
            "PICO_SDK_PATH_OVERRIDE": work.sources.pico_sdk,
            "PICO_TINYUSB_PATH": work.sources.tinyusb,
            "Python3_EXECUTABLE": sys.executable,
            "USER_C_MODULES": ";".join(map(str, modules)),
        }
        port = work.sources.micropython / "ports" / "rp2"
        options = [f"-D{name}={value}" for name, value in settings.items()]
        work.run("cmake", "-G", "Unix Makefiles", "-S", port, "-B", work.objects, *options)

    def make(self, work: Work) -> None:
        work.run("make", f"-j{tools.jobs()}", "-C", work.objects, "firmware")

    def collect(self, work: Work, folder: Path) -> bytes:
        """Puts the image's files into `folder`. Returns the flash content."""
        shutil.copy(work.objects / "firmware.elf", folder)
        content = (work.objects / "firmware.bin").read_bytes()
        content += bytes(-len(content) % uf2.PAYLOAD)
        target = work.board.uf2
        image = uf2.FlashImage(target.family, target.address, content)
        uf2.check(image, work.board, "the image")
        (folder / "firmware.bin").write_bytes(content)
        (folder / "firmware.uf2").write_bytes(uf2.encode(image))
        return content


RECIPES = {"unix": Unix(), "rp2": Rp2()}
