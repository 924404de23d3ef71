// SPDX-License-Identifier: MIT
// A boot ROM for the emulated RP2040, free of Raspberry Pi's code. It has the layout and the functions
// that the SDK looks up (RP2040 datasheet, 2.8): the start from flash, the table look-up, bit and memory
// functions. What needs the world outside the core (flash, floating point, USB boot) is a breakpoint
// that the emulator serves; its number says what is wanted, see rom_calls.mjs.

    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ XIP_BASE, 0x10000000
    .equ BOOT2_COPY, 0x20041f00     // the last 256 bytes of SRAM
    .equ BOOT2_BYTES, 256
    .equ FLOAT_ENTRIES, 32
    .equ SINGLE, 64                 // breakpoint number of the first single-precision entry
    .equ DOUBLE, 96

    .macro function name
    .balign 4
    .thumb_func
\name:
    .endm

    .text
    .word BOOT2_COPY                // initial stack pointer
    .word start + 1
    .word fault + 1                 // NMI
    .word fault + 1                 // HardFault
    .byte 'M', 'u', 1, 3            // magic, ROM of an RP2040-B2
    .hword functions
    .hword data
    .hword lookup + 1
    .hword 0

// Copies boot2 to the end of SRAM and enters it with LR = 0, which means "start the application".
function start
    ldr     r0, =XIP_BASE
    ldr     r1, =BOOT2_COPY
    movs    r2, #BOOT2_BYTES - 4
copy_boot2:
    ldr     r3, [r0, r2]
    str     r3, [r1, r2]
    subs    r2, #4
    bpl     copy_boot2
    movs    r3, #0
    mov     lr, r3
    adds    r1, #1
    bx      r1

function fault
    bkpt    #255
    b       fault

// uint16_t or 0: lookup(const uint16_t table[][2], code)
function lookup
next_entry:
    ldrh    r2, [r0]
    cmp     r2, #0
    beq     not_found
    adds    r0, #4
    cmp     r2, r1
    bne     next_entry
    subs    r0, #2
    ldrh    r0, [r0]
    bx      lr
not_found:
    movs    r0, #0
    bx      lr

// dst: memcpy(dst, src, length). Words where both are aligned, bytes otherwise.
function rom_memcpy
    push    {r0, r4, r5, lr}
    movs    r3, r0
    orrs    r3, r1
    lsls    r3, r3, #30
    bne     copy_bytes
copy_pairs:
    subs    r2, #8
    blo     copy_rest
    ldmia   r1!, {r4, r5}
    stmia   r0!, {r4, r5}
    b       copy_pairs
copy_rest:
    adds    r2, #8
copy_bytes:
    subs    r2, #1
    blo     copied
    ldrb    r3, [r1]
    strb    r3, [r0]
    adds    r0, #1
    adds    r1, #1
    b       copy_bytes
copied:
    pop     {r0, r4, r5, pc}

// dst: memset(dst, byte, length)
function rom_memset
    push    {r0, r4, lr}
    uxtb    r1, r1
    lsls    r3, r0, #30
    bne     set_bytes
    lsls    r3, r1, #8
    orrs    r3, r1
    lsls    r4, r3, #16
    orrs    r3, r4
    movs    r4, r3
set_pairs:
    subs    r2, #8
    blo     set_rest
    stmia   r0!, {r3, r4}
    b       set_pairs
set_rest:
    adds    r2, #8
set_bytes:
    subs    r2, #1
    blo     filled
    strb    r1, [r0]
    adds    r0, #1
    b       set_bytes
filled:
    pop     {r0, r4, pc}

// One step of a binary search for the highest set bit of r0; r1 counts the zeros above it.
    .macro  search bits
    lsrs    r2, r0, #32 - \bits
    bne     1f
    lsls    r0, r0, #\bits
    adds    r1, #\bits
1:
    .endm

function count_leading_zeros
    movs    r1, #32
    cmp     r0, #0
    beq     leading_counted
    movs    r1, #0
    search  16
    search  8
    search  4
    search  2
    search  1
leading_counted:
    movs    r0, r1
    bx      lr

function count_trailing_zeros
    push    {lr}
    bl      reverse_bits
    bl      count_leading_zeros
    pop     {pc}

// r0 = (r0 & mask) + ((r0 >> shift) & mask)
    .macro  add_fields mask, shift
    ldr     r2, =\mask
    lsrs    r1, r0, #\shift
    ands    r0, r2
    ands    r1, r2
    adds    r0, r1
    .endm

function count_ones
    add_fields 0x55555555, 1
    add_fields 0x33333333, 2
    add_fields 0x0f0f0f0f, 4
    ldr     r1, =0x01010101
    muls    r0, r1
    lsrs    r0, r0, #24
    bx      lr

// Exchanges neighbouring fields of r0.
    .macro  exchange_fields mask, shift
    ldr     r2, =\mask
    lsrs    r1, r0, #\shift
    ands    r0, r2
    ands    r1, r2
    lsls    r0, r0, #\shift
    orrs    r0, r1
    .endm

function reverse_bits
    exchange_fields 0x55555555, 1
    exchange_fields 0x33333333, 2
    exchange_fields 0x0f0f0f0f, 4
    rev     r0, r0
    bx      lr

    .balign 4
    .ltorg

    .macro  served name, number
    function \name
    bkpt    #\number
    bx      lr
    .endm

    served  connect_flash, 1
    served  exit_xip, 2
    served  erase, 3
    served  program, 4
    served  flush_cache, 5
    served  enter_xip, 6
    served  usb_boot, 7

    .balign 4
float_code:
    .set    number, SINGLE
    .rept   2 * FLOAT_ENTRIES
    .hword  0xbe00 + number         // bkpt #number
    bx      lr
    .set    number, number + 1
    .endr

    .macro  float_table first
    .set    number, \first
    .rept   FLOAT_ENTRIES
    .word   float_code + 4 * (number - SINGLE) + 1
    .set    number, number + 1
    .endr
    .endm

    .balign 4
    .hword  0
float_length:
    .byte   FLOAT_ENTRIES, 0        // two bytes before the table, where the SDK reads its length
single_table:
    float_table SINGLE
double_table:
    float_table DOUBLE

    .macro  entry first, second, value
    .byte   \first, \second
    .hword  \value
    .endm

    .balign 4
functions:
    entry   'P', '3', count_ones + 1
    entry   'R', '3', reverse_bits + 1
    entry   'L', '3', count_leading_zeros + 1
    entry   'T', '3', count_trailing_zeros + 1
    entry   'M', 'S', rom_memset + 1
    entry   'S', '4', rom_memset + 1
    entry   'M', 'C', rom_memcpy + 1
    entry   'C', '4', rom_memcpy + 1
    entry   'U', 'B', usb_boot + 1
    entry   'I', 'F', connect_flash + 1
    entry   'E', 'X', exit_xip + 1
    entry   'R', 'E', erase + 1
    entry   'R', 'P', program + 1
    entry   'F', 'C', flush_cache + 1
    entry   'C', 'X', enter_xip + 1
    .word   0

data:
    entry   'G', 'R', git_revision
    entry   'C', 'R', copyright
    entry   'S', 'F', single_table
    entry   'S', 'D', double_table
    entry   'F', 'Z', float_length
    .word   0

git_revision:
    .word   0
copyright:
    .asciz  "fieldtune boot ROM stub, MIT"
