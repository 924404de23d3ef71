// SPDX-License-Identifier: MIT
// void dot4(int32_t acc[4], const int32_t *pairs, const int32_t (*panel)[4], uint32_t count)      (dot4.h; C twin: dot4.c)
//
// Register map in the loop
//   r0      panel                          r8..r11  the four sums
//   r1..r4  four words of the panel        r12      end of pairs
//   r5      one word of pairs
//   r6      pairs
//   r7      2^15
// Clobbers nothing that the caller keeps. Stack: 40 bytes.
// Instructions: 30 + 38 for every two pairs. Cycles on the Cortex-M0+: 59 + 49 for every two pairs (16 products).

#if defined(__ARM_ARCH_6M__)

    .syntax unified
    .cpu cortex-m0plus
    .thumb

panel   .req r0
word    .req r5
pairs   .req r6
half    .req r7
end     .req r12

    // sum += the pair product of word and x, which is lost
    .macro multiply_accumulate sum, x
    muls    \x, word
    adds    \x, \x, half
    asrs    \x, \x, #16
    add     \sum, \x
    .endm

    .macro one_pair
    ldmia   pairs!, {word}
    ldmia   panel!, {r1-r4}
    multiply_accumulate r8, r1
    multiply_accumulate r9, r2
    multiply_accumulate r10, r3
    multiply_accumulate r11, r4
    .endm

    .section .time_critical.dot4, "ax", %progbits
    .global dot4
    .type   dot4, %function
    .thumb_func
    .balign 4
dot4:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r0, r4-r7}
    ldmia   r0!, {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    lsls    r3, r3, #2
    adds    r3, r3, r1
    mov     end, r3
    movs    pairs, r1
    movs    panel, r2
    movs    half, #1
    lsls    half, half, #15
1:  one_pair
    one_pair
    cmp     pairs, end
    bne     1b
    pop     {r0}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    stmia   r0!, {r4-r7}
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}
    .size   dot4, . - dot4

#endif
