# USER_C_MODULES of the cmake ports; the make ports take this folder.
include(${CMAKE_CURRENT_LIST_DIR}/qnn/micropython.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/wire/micropython.cmake)
