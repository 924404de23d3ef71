add_library(usermod_qnn INTERFACE)

file(GLOB QNN_SOURCES CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_LIST_DIR}/*.c
    ${CMAKE_CURRENT_LIST_DIR}/ref/*.c
    ${CMAKE_CURRENT_LIST_DIR}/m0plus/*.c
    ${CMAKE_CURRENT_LIST_DIR}/m4/*.c
)
# core.h and the compiler's macros make every file empty that is for another core.
file(GLOB QNN_ASSEMBLY CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_LIST_DIR}/m0plus/*.S
    ${CMAKE_CURRENT_LIST_DIR}/m4/*.S
)

target_sources(usermod_qnn INTERFACE ${QNN_SOURCES} ${QNN_ASSEMBLY})
target_include_directories(usermod_qnn INTERFACE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(usermod INTERFACE usermod_qnn)

# The same integers on every core: qnn has its own flags whatever the port's are. Operands outside the contract of
# kernels.h wrap around: wrong numbers, never undefined behaviour.
set_source_files_properties(${QNN_SOURCES} PROPERTIES
    COMPILE_OPTIONS "-O2;-fno-lto;-fwrapv;-ffp-contract=off"
)
if(QNN_HOT_SECTION)
    set_source_files_properties(${QNN_SOURCES} PROPERTIES
        COMPILE_DEFINITIONS "QNN_HOT=__attribute__((section(\"${QNN_HOT_SECTION}\")))"
    )
endif()
