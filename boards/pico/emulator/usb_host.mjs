// SPDX-License-Identifier: MIT
// The host's end of the USB cable: a CDC serial port that loses nothing. Data for the board waits here
// until the board has a buffer ready (a real host's OUT is NAKed), data from the board is only taken
// while somebody takes it from here (a real host stops polling IN).
import { USBCDC } from './rp2040js.mjs';

const PACKET_BYTES = 64;
const REQUEST_TYPE_CLASS_INTERFACE = 0x21;
const SET_LINE_CODING = 0x20;
const SET_CONTROL_LINE_STATE = 0x22;
const DTR_RTS = 3;
const ANSWER_NS = 1e9; // a board that has not answered by then is not going to

export class UsbHost extends USBCDC {
  // line: { open, baud }; onData(bytes) gets the board's output.
  constructor(usb, line, onData) {
    super(usb);
    this.line = line;
    this.onSerialData = onData;
    this.connected = false;
    this.onDeviceConnected = () => {
      this.connected = true;
      this.feed();
    };
    this.output = []; // for the board: chunks, the first of which may be partly sent
    this.outputBytes = 0;
    this.waitingBuffer = 0; // size of the buffer that the board has armed
    this.requests = []; // control transfers still to do
    this.request = null; // the one under way
    this.held = false;
    this.heldReady = false;
    this.askedAt = 0; // on the board's clock
    this.hookEndpoints();
  }

  hookEndpoints() {
    const { usb } = this;
    const enumerate = usb.onEndpointWrite;
    usb.onEndpointWrite = (endpoint, bytes) => {
      if (endpoint === 0 && this.initialized) {
        this.finishRequest();
      } else {
        enumerate(endpoint, bytes);
      }
    };
    usb.onEndpointRead = (endpoint, size) => {
      if (endpoint === 0 && this.request?.data && size > 0) {
        usb.endpointReadDone(0, this.request.data);
        this.request.data = null;
      } else if (endpoint === this.outEndpoint) {
        this.waitingBuffer = size;
        this.feed();
      }
    };
    const ready = usb.indicateBufferReady.bind(usb);
    usb.indicateBufferReady = (endpoint, out) => {
      if (this.held && !out && endpoint === this.inEndpoint) {
        this.heldReady = true;
      } else {
        ready(endpoint, out);
      }
    };
  }

  // Bytes from the user to the board.
  write(bytes) {
    this.output.push(bytes);
    this.outputBytes += bytes.length;
    this.feed();
  }

  feed() {
    if (!this.connected || this.waitingBuffer === 0 || this.outputBytes === 0) {
      return;
    }
    const packet = new Uint8Array(Math.min(this.waitingBuffer, this.outputBytes, PACKET_BYTES));
    for (let filled = 0; filled < packet.length;) {
      const part = this.output[0].subarray(0, packet.length - filled);
      packet.set(part, filled);
      filled += part.length;
      if (part.length === this.output[0].length) {
        this.output.shift();
      } else {
        this.output[0] = this.output[0].subarray(part.length);
      }
    }
    this.outputBytes -= packet.length;
    this.waitingBuffer = 0;
    this.usb.endpointReadDone(this.outEndpoint, packet);
  }

  // Whether the board's next packet of output has to wait.
  hold(held) {
    this.held = held;
    if (!held && this.heldReady) {
      this.heldReady = false;
      this.usb.indicateBufferReady(this.inEndpoint, false);
    }
  }

  // What opening, closing and setting the speed of the port do on the cable.
  setLine(line) {
    const baudChanged = line.baud !== this.line.baud;
    this.line = line;
    if (!this.initialized) {
      return;
    }
    if (baudChanged) {
      this.requestLineCoding();
    }
    this.requestLineState();
    this.nextRequest();
  }

  requestLineState() {
    this.requests.push({ id: SET_CONTROL_LINE_STATE, value: this.line.open ? DTR_RTS : 0, data: null });
  }

  requestLineCoding() {
    const data = new Uint8Array(7); // baud, one stop bit, no parity, 8 data bits
    new DataView(data.buffer).setUint32(0, this.line.baud, true);
    data[6] = 8;
    this.requests.push({ id: SET_LINE_CODING, value: 0, data });
  }

  // Called by the enumeration at its end, where a terminal program would open the port.
  cdcSetControlLineState() {
    this.initialized = true;
    this.requestLineCoding();
    this.requestLineState();
    this.nextRequest();
  }

  nextRequest() {
    if (this.request || this.requests.length === 0) {
      return;
    }
    this.request = this.requests.shift();
    this.askedAt = this.usb.rp2040.clock.nanos;
    const { id, value, data } = this.request;
    this.usb.sendSetupPacket(
      Uint8Array.of(REQUEST_TYPE_CLASS_INTERFACE, id, value, 0, 0, 0, data?.length ?? 0, 0),
    );
  }

  finishRequest() {
    this.request = null;
    this.nextRequest();
  }

  // Whether something is on its way over the cable, for which emulated time has to run.
  busy() {
    const { endpointReadAlarms, endpointWriteAlarms } = this.usb;
    const asked = !this.connected || this.request !== null;
    return (asked && this.usb.rp2040.clock.nanos - this.askedAt < ANSWER_NS)
      || endpointReadAlarms.some((alarm) => alarm.buffers.length > 0)
      || endpointWriteAlarms.some((alarm) => alarm.buffers.length > 0);
  }
}
