include(GoogleTest)

# oqto_test(NAME SOURCES ... LIBS ... [ROOT]): one test binary. Tests that need root say so with the
# label `root`. What a machine may lack is asked for with tests/possible.h.
function(oqto_test name)
  cmake_parse_arguments(ARG "ROOT" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} oqto_test_main)
  if(ARG_ROOT)
    gtest_discover_tests(${name} PROPERTIES LABELS root TIMEOUT 120 DISCOVERY_TIMEOUT 30)
  else()
    gtest_discover_tests(${name} PROPERTIES TIMEOUT 60 DISCOVERY_TIMEOUT 30)
  endif()
endfunction()

# oqto_fuzz(NAME SOURCE ... LIBS ...): with OQTO_FUZZ a libFuzzer binary; always a test that replays
# tests/fuzz/corpus/<NAME>.
function(oqto_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name}_replay ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
  set_target_properties(${name}_replay PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name}_replay PRIVATE ${ARG_LIBS})
  add_test(NAME fuzz_replay.${name}
           COMMAND ${name}_replay ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(OQTO_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()
