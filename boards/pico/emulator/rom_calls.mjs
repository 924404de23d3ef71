// SPDX-License-Identifier: MIT
// What the boot ROM does by `bkpt` because it needs the world outside the core. Numbers: bootrom.S.
import { SECTOR_BYTES } from './flash.mjs';
import { floatCall } from './rom_float.mjs';

const CALL = {
  connectFlash: 1, exitXip: 2, erase: 3, program: 4, flushCache: 5, enterXip: 6, usbBoot: 7, dead: 255,
};
const SINGLE = 64;
const DOUBLE = 96;
const TABLE_LENGTH = 32;

const CYCLES_PER_SECOND = 125e6;
const FLASH_COMMAND_CYCLES = 100;
const SECTOR_ERASE_CYCLES = 0.045 * CYCLES_PER_SECOND; // W25Q16JV data sheet, typical
const PAGE_BYTES = 256;
const PAGE_PROGRAM_CYCLES = 0.0004 * CYCLES_PER_SECOND;

// Serves `bkpt number` on the chip. Returns the cycles it takes.
// `flash` is a FlashFile; onUsbBoot() and onDead(pc, lr) tell of what ends the run.
export function romCall(number, mcu, flash, { onUsbBoot, onDead }) {
  const { core } = mcu;
  const [r0, r1, r2] = core.registers;
  if (number >= SINGLE && number < SINGLE + TABLE_LENGTH) {
    return floatCall('single', number - SINGLE, core);
  }
  if (number >= DOUBLE && number < DOUBLE + TABLE_LENGTH) {
    return floatCall('double', number - DOUBLE, core);
  }
  switch (number) {
    case CALL.connectFlash:
    case CALL.exitXip:
    case CALL.flushCache:
    case CALL.enterXip:
      return FLASH_COMMAND_CYCLES;
    case CALL.erase: // (offset, count, block size, block command)
      flash.erase(r0, r1);
      mirror(mcu, flash, r0 - (r0 % SECTOR_BYTES), r0 + r1 + SECTOR_BYTES);
      return (r1 / SECTOR_BYTES) * SECTOR_ERASE_CYCLES;
    case CALL.program: // (offset, data, count)
      flash.program(r0, Uint8Array.from({ length: r2 }, (_, i) => mcu.readUint8(r1 + i)));
      mirror(mcu, flash, r0, r0 + r2);
      return (r2 / PAGE_BYTES) * PAGE_PROGRAM_CYCLES;
    case CALL.usbBoot:
      onUsbBoot();
      return 0;
    default: // a fault vector, or a breakpoint that nobody serves
      onDead(core.PC, core.LR);
      return 0;
  }
}

// What the core sees of the flash through XIP.
function mirror(mcu, flash, start, end) {
  mcu.flash.set(flash.bytes.subarray(start, end), start);
}
