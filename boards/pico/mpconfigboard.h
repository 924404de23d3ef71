// SPDX-License-Identifier: MIT
// Raspberry Pi Pico with fieldtune's modules.

#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico"

// The file system lies where the stock firmware has it.
#define MICROPY_HW_FLASH_STORAGE_BYTES (1408 * 1024)

// Room for three full frames of the link and a fourth that is arriving.
#define MICROPY_HW_STDIN_BUFFER_LEN (4096)

// Opening and closing the port at 1200 baud reboots into BOOTSEL: flashing works when no prompt answers.
#define MICROPY_HW_USB_CDC_1200BPS_TOUCH (1)
