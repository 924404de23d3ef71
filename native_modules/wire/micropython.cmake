add_library(usermod_wire INTERFACE)

file(GLOB WIRE_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)

target_sources(usermod_wire INTERFACE ${WIRE_SOURCES})
target_include_directories(usermod_wire INTERFACE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(usermod INTERFACE usermod_wire)

# Every byte from the host passes through here: fast rather than small.
set_source_files_properties(${WIRE_SOURCES} PROPERTIES COMPILE_OPTIONS "-O2")
