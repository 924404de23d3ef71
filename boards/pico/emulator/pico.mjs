// SPDX-License-Identifier: MIT
// One Raspberry Pi Pico: the chip, its boot ROM and flash, the USB cable, and its clock.
import crypto from 'node:crypto';
import { attachCore1 } from './core1.mjs';
import { attachFlashId } from './flash_id.mjs';
import { romCall } from './rom_calls.mjs';
import { ConsoleLogger, LogLevel, RP2040 } from './rp2040js.mjs';
import { UsbHost } from './usb_host.mjs';

const CYCLE_NS = 8; // 125 MHz
const WATCHDOG = 0x40058;
const ROSC = 0x40060;
const ROSC_RANDOMBIT = 0x1c;

export class Pico {
  // rom: Uint32Array; flash: FlashFile; line: { open, baud }.
  // events: onData(bytes), onReset(), onUsbBoot(), onDead(reason).
  constructor({ rom, flash, line, events }) {
    Object.assign(this, { rom, flash, line, events });
    this.ending = null; // why the run of this chip ends: 'reset' | 'usbBoot' | 'dead'
    this.held = false;
    this.boot();
  }

  boot(watchdog = null) {
    const mcu = new RP2040();
    mcu.logger = new ConsoleLogger(LogLevel.Error, false);
    mcu.bootrom.set(this.rom);
    mcu.flash.set(this.flash.bytes, 0);
    mcu.core.reset();
    this.mcu = mcu;
    this.clock = mcu.clock;
    this.romCycles = 0;
    mcu.onBreak = (number) => { this.romCycles += romCall(number, mcu, this.flash, this.romEvents()); };
    this.attachWatchdog(watchdog);
    mcu.peripherals[ROSC].readUint32 = (offset) => (offset === ROSC_RANDOMBIT ? crypto.randomInt(2) : 0xffffffff);
    attachCore1(mcu, (entry) => {
      console.error(`core 1 is not emulated: nothing runs at 0x${entry.toString(16)}`);
    });
    attachFlashId(mcu, this.flash.id);
    this.usb = new UsbHost(mcu.usbCtrl, this.line, this.events.onData);
    this.usb.hold(this.held);
    this.syncWallClock();
  }

  romEvents() {
    return {
      onUsbBoot: () => { this.ending = 'usbBoot'; },
      onDead: (pc, lr) => {
        this.ending = 'dead';
        this.deathNote = `fault at 0x${pc.toString(16)}, called from 0x${lr.toString(16)}`;
      },
    };
  }

  // A reset by the watchdog leaves its reason and its scratch registers.
  attachWatchdog(before) {
    const watchdog = this.mcu.peripherals[WATCHDOG];
    if (before) {
      watchdog.reason = before.reason;
      watchdog.scratchData.set(before.scratchData);
    }
    watchdog.onWatchdogTrigger = () => { this.ending = 'reset'; };
  }

  syncWallClock() {
    this.wallStart = performance.now();
    this.nanosStart = this.clock.nanosCounter;
  }

  write(bytes) {
    this.usb.write(bytes);
  }

  setLine(line) {
    this.line = line;
    this.usb.setLine(line);
  }

  hold(held) {
    this.held = held;
    this.usb.hold(held);
  }

  // Runs about `cycles`. Returns the milliseconds for which there is nothing to do: 0 while there is,
  // Infinity when only the user can wake the board.
  run(cycles) {
    const { mcu, clock } = this;
    const { core } = mcu;
    const end = clock.nanosCounter + cycles * CYCLE_NS;
    if (!core.waiting) {
      this.syncWallClock(); // emulated time that lags while busy is not made up for later
    }
    while (clock.nanosCounter < end) {
      if (core.waiting) {
        const idle = this.passIdleTime();
        if (idle > 0) {
          return idle;
        }
        continue;
      }
      const taken = core.executeInstruction() + this.romCycles;
      this.romCycles = 0;
      const now = clock.nanosCounter + taken * CYCLE_NS;
      const alarm = clock.nextAlarm;
      if (alarm !== null && alarm.nanos <= now) {
        clock.tick(taken * CYCLE_NS);
      } else {
        clock.nanosCounter = now;
      }
      if (this.ending) {
        return this.end();
      }
    }
    return 0;
  }

  // The core sleeps. Goes to the next alarm if its time has come, which on an idle cable is when the wall
  // clock says so. Returns the milliseconds until then.
  passIdleTime() {
    const { clock } = this;
    const alarm = clock.nextAlarm;
    if (!this.usb.busy()) {
      const wall = this.nanosStart + (performance.now() - this.wallStart) * 1e6;
      const now = Math.floor(wall / CYCLE_NS) * CYCLE_NS;
      if (alarm === null || alarm.nanos > now) {
        clock.nanosCounter = Math.max(clock.nanosCounter, now);
        return alarm === null ? Infinity : Math.max((alarm.nanos - now) / 1e6, 0.01);
      }
    } else if (alarm === null) {
      return Infinity;
    }
    clock.tick(alarm.nanos - clock.nanosCounter);
    return this.ending ? this.end() : 0;
  }

  end() {
    const why = this.ending;
    this.ending = null;
    if (why === 'reset') {
      this.boot(this.mcu.peripherals[WATCHDOG]);
      this.events.onReset();
      return 0;
    }
    if (why === 'usbBoot') {
      this.events.onUsbBoot();
    } else {
      this.events.onDead(this.deathNote);
    }
    return Infinity;
  }
}
