"""What the running board says of itself, against what was written."""

import zlib

from fieldtune.errors import DeviceRaised, VerificationFailed
from fieldtune.link.repl import Repl
from fieldtune.uf2 import FlashImage

BUILD_ID = "import fieldtune; print(fieldtune.board()['build_id'])"
CRC_TIMEOUT = 30.0
# In pieces, so that a Ctrl-C gets through.
FLASH_CRC = """
import binascii, uctypes
def flash_crc(address, length):
    crc = 0
    while length:
        piece = min(length, 16384)
        crc = binascii.crc32(uctypes.bytearray_at(address, piece), crc)
        address += piece
        length -= piece
    print(crc)
flash_crc({address}, {length})
"""


def build_id(repl: Repl) -> str:
    """The build id of the image that runs; "" when it is none of fieldtune's."""
    try:
        return repl.exec(BUILD_ID).strip()
    except DeviceRaised:
        return ""


def flash_crc(repl: Repl, image: FlashImage) -> int:
    """The CRC-32 of the board's own flash where `image` belongs, as the board computes it."""
    code = FLASH_CRC.format(address=image.address, length=len(image.data))
    return int(repl.exec(code, timeout=CRC_TIMEOUT))


def check_flash(repl: Repl, image: FlashImage) -> None:
    """Raises VerificationFailed unless the board's flash holds `image`."""
    found = flash_crc(repl, image)
    if found != zlib.crc32(image.data):
        raise VerificationFailed(
            "the board's flash is not what was sent",
            f"its CRC-32 is {found:08x}, the image's {zlib.crc32(image.data):08x}",
            "flash again; if it stays so the flash chip is worn out",
        )


def check_build_id(repl: Repl, expected: str) -> None:
    """Raises VerificationFailed unless the image that runs calls itself `expected`."""
    found = build_id(repl)
    if found != expected:
        raise VerificationFailed(
            "the board runs another image than the one sent",
            f"it calls itself {found!r}, expected {expected!r}",
            "flash again",
        )
