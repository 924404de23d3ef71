// SPDX-License-Identifier: MIT
// CRC-32 as zlib computes it (reflected, polynomial 0xedb88320).
#ifndef FIELDTUNE_WIRE_CRC32_H
#define FIELDTUNE_WIRE_CRC32_H

#include <stddef.h>
#include <stdint.h>

// Continues `crc` (0 at the start) over `n` bytes.
uint32_t wire_crc32(uint32_t crc, const uint8_t *data, size_t n);

#endif
