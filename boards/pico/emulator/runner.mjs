// SPDX-License-Identifier: MIT
// node runner.mjs BOOTROM FLASH SERIAL: one emulated Pico whose cable is the socket at its standard input.
//
// Both ways go frames: type (1 byte), length (2 bytes, little endian), payload.
//   1  data of the serial port
//   2  to the board: state of the port: open (1 byte), baud (4 bytes)
//   3  from the board: what happened, as text: "up" (the firmware is on USB and has nothing
//     more to do, or is at it for a while), "reset", "bootsel", "dead REASON"
//   4  to the board: whether its output has to wait (1 byte)
// The process ends with the socket, and when the chip leaves its firmware (bootsel, dead).
import fs from 'node:fs';
import net from 'node:net';
import { FlashFile } from './flash.mjs';
import { Pico } from './pico.mjs';

const DATA = 1;
const LINE = 2;
const EVENT = 3;
const FLOW = 4;
const HEADER_BYTES = 3;
const SOCKET_FD = 0;
const SLICE_CYCLES = 100_000; // about 1.5 ms between looks at the socket
const INPUT_LIMIT = 4096; // bytes for the board that wait here before the socket has to
const BUSY_START_MS = 2000; // a program in the flash may never rest
const MAX_SLEEP_MS = 2 ** 31 - 1;

const socket = new net.Socket({ fd: SOCKET_FD, readable: true, writable: true, highWaterMark: 4096 });
let received = Buffer.alloc(0);
let timer = null;
let finished = false;
let throttled = false; // by the other end of the socket
let connectedAt = 0; // ms, when USB came up after power-on
let up = false;

function send(type, payload) {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt16LE(payload.length, 1);
  frame.set(payload, HEADER_BYTES);
  return socket.write(frame);
}

function finish(event) {
  finished = true;
  send(EVENT, Buffer.from(event));
  socket.end(() => process.exit(0));
}

function readRom(file) {
  const bytes = fs.readFileSync(file);
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

const [romFile, flashFile, serial] = process.argv.slice(2);
const pico = new Pico({
  rom: readRom(romFile),
  flash: new FlashFile(flashFile, Buffer.from(serial, 'hex')),
  line: { open: false, baud: 115200 },
  events: {
    onData: (bytes) => { if (!send(DATA, bytes)) pico.hold(true); },
    onReset: () => send(EVENT, Buffer.from('reset')),
    onUsbBoot: () => finish('bootsel'),
    onDead: (reason) => finish(`dead ${reason}`),
  },
});

function updateHold() {
  pico.hold(!pico.line.open || throttled || socket.writableNeedDrain);
}

function take(type, payload) {
  if (type === DATA) {
    pico.write(payload);
  } else if (type === LINE) {
    pico.setLine({ open: payload[0] === 1, baud: payload.readUInt32LE(1) });
    updateHold();
  } else if (type === FLOW) {
    throttled = payload[0] === 1;
    updateHold();
  }
}

function takeFrames() {
  while (received.length >= HEADER_BYTES) {
    const end = HEADER_BYTES + received.readUInt16LE(1);
    if (received.length < end) {
      break;
    }
    take(received[0], received.subarray(HEADER_BYTES, end));
    received = received.subarray(end);
  }
}

function schedule(sleep) {
  if (sleep === 0) {
    setImmediate(loop);
  } else if (sleep === Infinity) {
    timer = setTimeout(loop, MAX_SLEEP_MS);
  } else {
    timer = setTimeout(loop, Math.ceil(sleep));
  }
}

function tellWhenUp(resting) {
  if (!pico.usb.connected) {
    return;
  }
  connectedAt ||= performance.now();
  if (resting || performance.now() - connectedAt > BUSY_START_MS) {
    up = true;
    send(EVENT, Buffer.from('up'));
  }
}

function loop() {
  timer = null;
  const sleep = pico.run(SLICE_CYCLES);
  if (!up && !finished) {
    tellWhenUp(sleep > 1);
  }
  if (pico.usb.outputBytes < INPUT_LIMIT && socket.isPaused()) {
    socket.resume();
  }
  if (!finished) {
    schedule(sleep);
  }
}

function wake() {
  if (timer) {
    clearTimeout(timer);
    setImmediate(loop);
    timer = null;
  }
}

socket.on('data', (bytes) => {
  received = received.length ? Buffer.concat([received, bytes]) : bytes;
  takeFrames();
  if (pico.usb.outputBytes >= INPUT_LIMIT) {
    socket.pause();
  }
  wake();
});
socket.on('drain', () => {
  updateHold();
  wake();
});
socket.on('end', () => process.exit(0));
socket.on('error', () => process.exit(0));
pico.hold(true);
loop();
