QNN_DIR := $(USERMOD_DIR)

SRC_USERMOD_C += $(wildcard $(QNN_DIR)/*.c $(QNN_DIR)/ref/*.c $(QNN_DIR)/m0plus/*.c $(QNN_DIR)/m4/*.c)
# core.h and the compiler's macros make every file empty that is for another core.
SRC_USERMOD_LIB_ASM += $(wildcard $(QNN_DIR)/m0plus/*.S $(QNN_DIR)/m4/*.S)
CFLAGS_USERMOD += -I$(QNN_DIR)

# The same integers on every core: qnn has its own flags whatever the port's are. Operands outside the contract of
# kernels.h wrap around: wrong numbers, never undefined behaviour.
$(BUILD)/qnn/%.o: CFLAGS += -O2 -fno-lto -fwrapv -ffp-contract=off
