// SPDX-License-Identifier: MIT
// The chip model. Set-up keeps it apart from these files, so it is imported by the path it was given.
import { pathToFileURL } from 'node:url';

const path = process.env.FIELDTUNE_RP2040JS;
if (!path) {
  throw new Error('FIELDTUNE_RP2040JS must name the entry file of rp2040js');
}
export const { RP2040, USBCDC, ConsoleLogger, LogLevel } = await import(pathToFileURL(path));
