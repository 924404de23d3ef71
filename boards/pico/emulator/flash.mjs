// SPDX-License-Identifier: MIT
// The flash chip: a file. Every erase and program is in the file before the firmware goes on, so a
// killed emulator loses no more than the operation it was in.
import fs from 'node:fs';

export const FLASH_BYTES = 2 * 1024 * 1024;
export const SECTOR_BYTES = 4096;

export class FlashFile {
  // `file` holds FLASH_BYTES; `id` are the 8 bytes of the chip's unique id.
  constructor(file, id) {
    this.id = id;
    this.fd = fs.openSync(file, 'r+');
    this.bytes = new Uint8Array(FLASH_BYTES).fill(0xff);
    fs.readSync(this.fd, this.bytes, 0, FLASH_BYTES, 0);
  }

  // Clears the sectors that hold `length` bytes from `offset`.
  erase(offset, length) {
    const start = offset - (offset % SECTOR_BYTES);
    const end = Math.min(FLASH_BYTES, Math.ceil((offset + length) / SECTOR_BYTES) * SECTOR_BYTES);
    if (start >= end) {
      return;
    }
    this.bytes.fill(0xff, start, end);
    this.writeThrough(start, end);
  }

  // NOR flash: programming turns ones into zeros, never back.
  program(offset, data) {
    const end = Math.min(FLASH_BYTES, offset + data.length);
    for (let i = offset; i < end; i++) {
      this.bytes[i] &= data[i - offset];
    }
    this.writeThrough(offset, end);
  }

  writeThrough(start, end) {
    for (let at = start; at < end;) {
      at += fs.writeSync(this.fd, this.bytes, at, end - at, at);
    }
  }
}
