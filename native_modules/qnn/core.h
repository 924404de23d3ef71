// SPDX-License-Identifier: MIT
// Which implementation of each family of kernels is compiled, told by the compiler's own macros.
//
// QNN_M0PLUS and QNN_REF choose one against them, for the tests.
#ifndef QNN_CORE_H
#define QNN_CORE_H

#if defined(__ARM_ARCH_6M__) && !defined(QNN_REF)
#define QNN_M0PLUS
#endif

#ifdef QNN_M0PLUS
#define QNN_KERNELS "m0plus"
#define DENSE_M0PLUS
#define REF_DENSE(name) name##_ref  // stays, for the shapes that the assembly is not made for
#else
#define QNN_KERNELS "ref"
#define REF_DENSE(name) name
#endif

#endif
