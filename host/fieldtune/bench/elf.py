"""What an ELF file puts where: the sizes of its sections."""

import struct
from pathlib import Path

from fieldtune.errors import FieldtuneError

_MAGIC = b"\x7fELF\x01\x01"  # 32 bits, little endian
_TABLE = struct.Struct("<32xI10xHHH")  # of the header: e_shoff, e_shentsize, e_shnum, e_shstrndx
_SECTION = struct.Struct("<II12xI")  # sh_name, sh_type, sh_size; what lies between is skipped
_OFFSET = struct.Struct("<16xI")  # sh_offset


def section_sizes(path: Path) -> dict[str, int]:
    """The bytes of every section, by name. Raises FieldtuneError when it is no 32-bit ELF file."""
    data = path.read_bytes()
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("it does not begin as one")
        start, size, count, names = _TABLE.unpack_from(data)
        headers = [start + size * index for index in range(count)]
        (text,) = _OFFSET.unpack_from(data, headers[names])
        found = {}
        for header in headers:
            name, _kind, length = _SECTION.unpack_from(data, header)
            found[data[text + name :].split(b"\0", 1)[0].decode()] = length
        return found
    except (ValueError, IndexError, struct.error) as error:
        raise FieldtuneError(f"{path} is not a 32-bit ELF file", str(error)) from error
