"""The few places where MicroPython's source is changed before it is built."""

from dataclasses import dataclass
from pathlib import Path

from fieldtune.errors import FieldtuneError


@dataclass(frozen=True)
class Edit:
    """In `path`, below MicroPython's folder, `old` stands exactly once and becomes `new`."""

    path: str
    old: str
    new: str


_NO_TLS = [
    # A Pico has no radio, and mbedtls is not in Debian's source.
    Edit(
        "ports/rp2/CMakeLists.txt",
        "set(MICROPY_SSL_MBEDTLS ON)",
        "set(MICROPY_SSL_MBEDTLS OFF)",
    ),
    Edit("ports/rp2/CMakeLists.txt", "    mbedtls/mbedtls_port.c\n", ""),
    Edit(
        "ports/rp2/CMakeLists.txt",
        "target_link_libraries(${MICROPY_TARGET} micropy_lib_mbedtls)\n",
        "",
    ),
    Edit("ports/rp2/CMakeLists.txt", "list(APPEND GIT_SUBMODULES lib/mbedtls)\n", ""),
    Edit(
        "ports/rp2/mpconfigport.h",
        "#define MICROPY_SSL_MBEDTLS                     (1)",
        "#define MICROPY_SSL_MBEDTLS                     (0)",
    ),
    # Both come from mbedtls.
    Edit(
        "ports/rp2/mpconfigport.h",
        "#define MICROPY_PY_CRYPTOLIB                    (1)",
        "#define MICROPY_PY_CRYPTOLIB                    (0)",
    ),
    Edit(
        "ports/rp2/mpconfigport.h",
        "#define MICROPY_PY_HASHLIB_SHA1                 (1)",
        "#define MICROPY_PY_HASHLIB_SHA1                 (0)",
    ),
]

_TINYUSB_FROM_OUTSIDE = [
    Edit(
        "ports/rp2/CMakeLists.txt",
        "set(PICO_TINYUSB_PATH ${MICROPY_DIR}/lib/tinyusb)",
        "if(NOT PICO_TINYUSB_PATH)\n"
        "    set(PICO_TINYUSB_PATH ${MICROPY_DIR}/lib/tinyusb)\n"
        "endif()",
    ),
]

_USB_INPUT_IN_BLOCKS = [
    # Asked for single bytes, TinyUSB spends 500 cycles on each, on mutexes mostly. Where none of
    # them can be Ctrl-C, it writes to the ring itself.
    Edit(
        "shared/tinyusb/mp_usbd_cdc.c",
        "    cdc_itf_pending &= ~(1 << itf);\n",
        "    cdc_itf_pending &= ~(1 << itf);\n"
        "    ringbuf_t *ring = &stdin_ringbuf;\n"
        "    while (mp_interrupt_char < 0 && tud_cdc_n_available(itf) && ringbuf_free(ring)) {\n"
        "        size_t room = MIN(ringbuf_free(ring), (size_t)(ring->size - ring->iput));\n"
        "        size_t end = ring->iput + tud_cdc_n_read(itf, ring->buf + ring->iput, room);\n"
        "        ring->iput = end < ring->size ? end : 0;\n"
        "    }\n",
    ),
    # A reader of single bytes would otherwise have a full ring refilled byte by byte.
    Edit(
        "shared/tinyusb/mp_usbd_cdc.c",
        "    if (cdc_itf_pending && ringbuf_free(&stdin_ringbuf)) {\n",
        "    if (cdc_itf_pending && ringbuf_free(&stdin_ringbuf) >= CFG_TUD_CDC_EP_BUFSIZE) {\n",
    ),
]

_UNIX_LIKE_A_BOARD = [
    # machine.reset(), see boards/unix/prompt.c.
    Edit(
        "ports/unix/modmachine.c",
        "static void mp_machine_idle(void) {",
        "NORETURN void prompt_reset(void);\n"
        "\n"
        "static void mp_machine_reset(void) {\n"
        "    prompt_reset();\n"
        "}\n"
        "\n"
        "static mp_int_t mp_machine_reset_cause(void) {\n"
        "    return 0;\n"
        "}\n"
        "\n"
        "static void mp_machine_idle(void) {",
    ),
    # print() ends its lines as a board does; sys.stdout.buffer stays as it is.
    Edit(
        "extmod/vfs_posix_file.c",
        "static const mp_stream_p_t vfs_posix_textio_stream_p = {\n"
        "    .read = vfs_posix_file_read,\n"
        "    .write = vfs_posix_file_write,\n",
        "static mp_uint_t vfs_posix_text_write("
        "mp_obj_t o_in, const void *buf, mp_uint_t size, int *errcode) {\n"
        "    mp_obj_vfs_posix_file_t *o = MP_OBJ_TO_PTR(o_in);\n"
        "    if (o->fd != STDOUT_FILENO) {\n"
        "        return vfs_posix_file_write(o_in, buf, size, errcode);\n"
        "    }\n"
        "    mp_hal_stdout_tx_strn_cooked(buf, size);\n"
        "    return size;\n"
        "}\n"
        "\n"
        "static const mp_stream_p_t vfs_posix_textio_stream_p = {\n"
        "    .read = vfs_posix_file_read,\n"
        "    .write = vfs_posix_text_write,\n",
    ),
]

_SAME_BYTES_EVERY_TIME = [
    # A set's order differs from run to run, and a pin may have two names.
    Edit(
        "tools/boardgen.py",
        "for board_pin_name, board_hidden in pin._board_pin_names:",
        "for board_pin_name, board_hidden in sorted(pin._board_pin_names):",
    ),
]

EDITS = (
    _NO_TLS
    + _TINYUSB_FROM_OUTSIDE
    + _USB_INPUT_IN_BLOCKS
    + _UNIX_LIKE_A_BOARD
    + _SAME_BYTES_EVERY_TIME
)


def apply(source: Path) -> None:
    """Changes the MicroPython tree `source`. Raises FieldtuneError where an edit does not fit."""
    for edit in EDITS:
        file = source / edit.path
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if text.count(edit.old) != 1:
            line = edit.old.strip().splitlines()[0]
            raise FieldtuneError(
                f"cannot adapt MicroPython's {edit.path}",
                f"{line!r} should stand there once, and stands {text.count(edit.old)} times",
                "use MicroPython 1.25.0",
            )
        file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
