// SPDX-License-Identifier: MIT
// The flash chip's unique id, which is what machine.unique_id() shows, behind the serial interface.
const SSI = 0x18000;
const SSI_DR0 = 0x60;
const READ_UNIQUE_ID = 0x4b; // answered after four dummy bytes (W25Q16JV data sheet, 8.2.22)
const DUMMY_BYTES = 4;

// id: Uint8Array(8)
export function attachFlashId(mcu, id) {
  const ssi = mcu.peripherals[SSI];
  const read = ssi.readUint32.bind(ssi);
  const write = ssi.writeUint32.bind(ssi);
  let position = -1; // in the answer, -1 outside of one
  ssi.writeUint32 = (offset, value) => {
    write(offset, value);
    if (offset !== SSI_DR0) {
      return;
    }
    if (position >= 0) {
      position += 1;
    } else if (value === READ_UNIQUE_ID) {
      position = 0;
    }
  };
  ssi.readUint32 = (offset) => {
    if (offset !== SSI_DR0 || position < 0) {
      return read(offset);
    }
    const at = position - DUMMY_BYTES - 1;
    if (at === id.length - 1) {
      position = -1;
    }
    return at < 0 ? 0 : id[at];
  };
}
