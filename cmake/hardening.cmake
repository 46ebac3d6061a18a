# One interface target that everything links; nobody else sets flags.
add_library(oqto_hardened INTERFACE)
target_include_directories(oqto_hardened INTERFACE ${CMAKE_SOURCE_DIR})

target_compile_options(oqto_hardened INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wcast-align -Wformat=2 -Wimplicit-fallthrough -Wundef -Wvla
  -Werror=return-type -Werror=unused-result -Werror=switch
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
  -fno-delete-null-pointer-checks -fvisibility=hidden -D_GLIBCXX_ASSERTIONS)
target_link_options(oqto_hardened INTERFACE
  -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed)

include(CheckPIESupported)
check_pie_supported()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(OQTO_SANITIZE "address,undefined sanitizers (clang)" OFF)
option(OQTO_FUZZ "build the libFuzzer targets (clang)" OFF)
option(OQTO_WERROR "warnings are errors" OFF)
if(OQTO_WERROR)
  target_compile_options(oqto_hardened INTERFACE -Werror)
endif()
if(OQTO_SANITIZE)
  target_compile_options(oqto_hardened INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer)
  target_link_options(oqto_hardened INTERFACE -fsanitize=address,undefined)
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(oqto_hardened INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(OQTO_FUZZ)
  target_compile_options(oqto_hardened INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(oqto_hardened INTERFACE
    -ftrivial-auto-var-init=zero -Wduplicated-cond -Wlogical-op -Wbidi-chars=any)
endif()

# For base, ipc, sandbox, policies, guard and audit: no exceptions, no RTTI, and arithmetic and
# bounds errors trap.
add_library(oqto_core_flags INTERFACE)
target_link_libraries(oqto_core_flags INTERFACE oqto_hardened)
target_compile_options(oqto_core_flags INTERFACE -fno-exceptions -fno-rtti)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT OQTO_SANITIZE)
  target_compile_options(oqto_core_flags INTERFACE
    -fzero-call-used-regs=used-gpr
    -fsanitize=bounds,signed-integer-overflow,shift -fsanitize-undefined-trap-on-error)
endif()
