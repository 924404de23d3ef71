set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")

# Where qnn's kernels run from: SRAM, not the flash behind its cache.
set(QNN_HOT_SECTION ".time_critical.qnn")
