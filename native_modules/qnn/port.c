// SPDX-License-Identifier: MIT
// What layers need from the place they run in, in MicroPython.
#include "layer.h"
#include "py/mphal.h"
#include "py/runtime.h"

void qnn_turn(void) {
    mp_event_handle_nowait();
}

#if PICO_RP2040

#include "hardware/structs/systick.h"

// SysTick counts core cycles down; MicroPython's rp2 port leaves it alone.
uint32_t qnn_clock(void) {
    if (!(systick_hw->csr & 1)) {
        systick_hw->rvr = 0xffffff;
        systick_hw->cvr = 0;
        systick_hw->csr = 5;
    }
    return -systick_hw->cvr & 0xffffff;
}

#else

// No cycle counter: qnn.cycles() stays 0.
uint32_t qnn_clock(void) {
    return 0;
}

#endif
