// SPDX-License-Identifier: MIT
// The simulator: MicroPython's unix port made as like the boards as it can be.

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

// Single precision, as on the boards.
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)

#include "variants/mpconfigvariant_common.h"

// KeyboardInterrupt comes between two bytecodes, never in the middle of a native function.
#undef MICROPY_ASYNC_KBD_INTR
#define MICROPY_ASYNC_KBD_INTR (0)

// machine.reset() starts the program anew.
#define MICROPY_PY_MACHINE_RESET (1)

#define MICROPY_PY_SYS_PATH_DEFAULT ".frozen"
#define MICROPY_BANNER_MACHINE "fieldtune unix simulator"
