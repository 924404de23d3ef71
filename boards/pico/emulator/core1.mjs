// SPDX-License-Identifier: MIT
// Core 1 is not emulated, but its boot ROM's wait loop is: MicroPython resets core 1 at every soft
// reset and waits for the answer on the FIFO between the cores (RP2040 datasheet, 2.8.2).

const FIFO_ST = 0x50;
const FIFO_WR = 0x54;
const FIFO_RD = 0x58;
const FIFO_VALID = 1;
const FIFO_READY = 2;
const PSM_FRCE_OFF = 4;
const PSM_PROC1 = 1 << 16;
const PSM_BASE = 0x40010;
const LAUNCH_LENGTH = 5; // 0, 1, vector table, stack pointer, entry

// Puts the wait loop behind the chip's SIO FIFO. onLaunch(entry) is told when code asks for core 1.
export function attachCore1(mcu, onLaunch) {
  const { sio } = mcu;
  const fifo = [0];
  let received = 0;
  const readSio = sio.readUint32.bind(sio);
  const writeSio = sio.writeUint32.bind(sio);
  sio.readUint32 = (offset) => {
    if (offset === FIFO_ST) {
      return FIFO_READY | (fifo.length ? FIFO_VALID : 0);
    }
    return offset === FIFO_RD ? fifo.shift() ?? 0 : readSio(offset);
  };
  sio.writeUint32 = (offset, value) => {
    if (offset === FIFO_ST) {
      return;
    }
    if (offset !== FIFO_WR) {
      writeSio(offset, value);
      return;
    }
    fifo.push(value >>> 0);
    received = value === 0 && received < 2 ? 1 : received + 1;
    if (received === LAUNCH_LENGTH) {
      onLaunch(value >>> 0);
    }
    mcu.core.eventRegistered = true;
  };
  const psm = mcu.peripherals[PSM_BASE];
  const writePsm = psm.writeUint32.bind(psm);
  psm.writeUint32 = (offset, value) => {
    const wasOff = psm.frceOff & PSM_PROC1;
    writePsm(offset, value);
    if (offset === PSM_FRCE_OFF && wasOff && !(value & PSM_PROC1)) {
      fifo.splice(0, fifo.length, 0);
      received = 0;
    }
  };
}
