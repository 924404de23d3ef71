# The simulator: what the boards have, and no library that is not in MicroPython's own source.
PROG = micropython
FROZEN_MANIFEST = $(VARIANT_DIR)/manifest.py

MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_SOCKET = 0
MICROPY_PY_SSL = 0
MICROPY_PY_TERMIOS = 0
MICROPY_PY_THREAD = 0
MICROPY_USE_READLINE = 1
MICROPY_VFS_FAT = 0
MICROPY_VFS_LFS1 = 0
MICROPY_VFS_LFS2 = 0

comma := ,

# prompt.c: the boards' REPL in the place of the port's.
SHARED_SRC_C_EXTRA += runtime/pyexec.c
LDFLAGS += $(addprefix -Wl$(comma)--wrap=,\
	mp_hal_set_interrupt_char \
	mp_hal_stdin_rx_chr \
	mp_hal_stdout_tx_strn \
	mp_hal_stdout_tx_strn_cooked)

# The same bytes wherever it is built.
LDFLAGS += -Wl,--build-id=none
