"""The Cortex-M0+ in a simulator: unicorn with the instruction set and the faults of a Cortex-M0.

Every array ends where its memory does, so that an access behind it faults, and unaligned words
fault as they do on the core.
"""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np

CODE, STACK, ARRAYS, STOP = 0x2000_0000, 0x3000_0000, 0x4000_0000, 0x1000_0000
PAGE = 4096
QNN = Path(__file__).resolve().parents[2] / "native_modules" / "qnn"
SOURCES = ("ref/dense.c", "ref/update.c", "m0plus/dense.c")
FLAGS = "-mcpu=cortex-m0plus -mthumb -O2 -ffp-contract=off -fwrapv -nostartfiles".split()


def build(folder: Path) -> Path:
    """The kernels for the Cortex-M0+, linked to run from SRAM."""
    compiler = shutil.which("arm-none-eabi-gcc")
    assert compiler, "arm-none-eabi-gcc is missing"
    elf = folder / "m0plus.elf"
    sources = [QNN / name for name in SOURCES] + sorted((QNN / "m0plus").glob("*.S"))
    link = [f"-Wl,-Ttext={CODE:#x}", "-Wl,-e,dense_forward", "--specs=nosys.specs"]
    keep = ["-Wl,--undefined=dense_dx", "-Wl,--undefined=dense_update"]
    subprocess.run(
        [compiler, *FLAGS, *link, *keep, "-o", elf, *sources], check=True, capture_output=True
    )
    return elf


class Core:
    """Runs one function at a time, and checks what every function owes its caller."""

    def __init__(self, elf: Path):
        from elftools.elf.elffile import ELFFile
        from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc
        from unicorn.arm_const import UC_CPU_ARM_CORTEX_M0

        self.uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
        self.uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M0)
        for base, size in ((CODE, 1 << 20), (STACK, 1 << 16), (STOP, PAGE)):
            self.uc.mem_map(base, size)
        with elf.open("rb") as file:
            image = ELFFile(file)
            for part in image.iter_segments():
                if part["p_type"] == "PT_LOAD":
                    self.uc.mem_write(part["p_vaddr"], part.data())
            symbols = image.get_section_by_name(".symtab").iter_symbols()
            self.symbols = {each.name: each["st_value"] for each in symbols}
        self.instructions = 0
        self._next = ARRAYS

    def put(self, array: np.ndarray) -> int:
        """Places a copy so that its last byte is the last one mapped. Returns its address."""
        data = np.ascontiguousarray(array).tobytes()
        size = max(1, -(-len(data) // PAGE)) * PAGE
        self.uc.mem_map(self._next, size)
        address = self._next + size - len(data)
        self._next += size + PAGE
        self.uc.mem_write(address, data)
        return address

    def struct(self, layout: str, *values: int) -> int:
        return self.put(np.frombuffer(struct.pack(layout, *values), np.uint8))

    def get(self, address: int, dtype, shape) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(bytes(self.uc.mem_read(address, size)), dtype).reshape(shape)

    def call(self, name: str, *args: int) -> int:
        """Calls a function. Returns r1:r0. Fails if it touches r4-r11 or the stack pointer."""
        from unicorn import arm_const as arm

        low = [arm.UC_ARM_REG_R0 + i for i in range(12)]
        top = STACK + (1 << 16) - 64
        for i, value in enumerate(args[4:]):
            self.uc.mem_write(top + 4 * i, (value & 0xFFFFFFFF).to_bytes(4, "little"))
        kept = [0xA5000000 + i for i in range(4, 12)]
        for register, value in zip(
            low, [*args[:4], *[0] * (4 - len(args[:4])), *kept], strict=True
        ):
            self.uc.reg_write(register, value & 0xFFFFFFFF)
        self.uc.reg_write(arm.UC_ARM_REG_SP, top)
        self.uc.reg_write(arm.UC_ARM_REG_LR, STOP | 1)
        self.uc.emu_start(self.symbols[name] | 1, STOP)
        assert [self.uc.reg_read(r) for r in low[4:]] == kept, f"{name} lost a register"
        assert self.uc.reg_read(arm.UC_ARM_REG_SP) == top, f"{name} moved the stack"
        return self.uc.reg_read(low[0]) | self.uc.reg_read(low[1]) << 32
