# The session's system calls: filters, compiled now rather than at each start, and the monitor.
add_executable(filter_gen monitor/filter_gen.cc)
set_target_properties(filter_gen PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
target_link_libraries(filter_gen PRIVATE oqto_policies oqto_hardened PkgConfig::SECCOMP)
add_custom_command(OUTPUT filters.cc COMMAND filter_gen > filters.cc
                   DEPENDS filter_gen VERBATIM)
add_library(oqto_session_filters STATIC ${CMAKE_CURRENT_BINARY_DIR}/filters.cc)
target_link_libraries(oqto_session_filters PUBLIC oqto_hardened PRIVATE oqto_core_flags)

# What is independent of how a session is started: hosted sessions and the stand-alone tool link it.
add_library(oqto_monitor STATIC monitor/approvals.cc monitor/ask_files.cc monitor/denials.cc monitor/digest.cc monitor/exec_log.cc
            monitor/exec_record.cc monitor/exec_watch.cc monitor/exit_watch.cc monitor/file_hashes.cc monitor/file_watch.cc monitor/listener.cc monitor/missed_changes.cc monitor/monitor.cc monitor/open_watch.cc monitor/process_info.cc monitor/refused_watch.cc monitor/session_monitor.cc monitor/socket_owner.cc
            monitor/tracee.cc)
# -lcrypto: the archive where a program is linked statically.
target_include_directories(oqto_monitor SYSTEM PUBLIC ${OPENSSL_INCLUDE_DIR})
target_link_libraries(oqto_monitor PUBLIC oqto_sandbox_policy oqto_ipc oqto_session_filters oqto_loopback crypto
                      PRIVATE oqto_core_flags)
oqto_test(sandbox_exec_log_test SOURCES monitor/exec_log_test.cc LIBS oqto_monitor)

# Programs under the real filter with the real monitor, without the rest of a sandbox.
add_library(oqto_test_monitored STATIC EXCLUDE_FROM_ALL monitor/test_monitored.cc launch/test_runner.cc
            init/filters.cc init/programs.cc)
target_link_libraries(oqto_test_monitored PUBLIC oqto_monitor Threads::Threads)
oqto_test(sandbox_filter_test SOURCES monitor/filter_test.cc LIBS oqto_test_monitored)
oqto_test(sandbox_denials_test SOURCES monitor/approvals_test.cc monitor/ask_files_test.cc monitor/denials_test.cc LIBS oqto_monitor)
oqto_test(sandbox_monitor_test ROOT SOURCES world/hidden_files_test.cc monitor/exec_record_test.cc monitor/file_watch_test.cc monitor/file_watch_holes_test.cc
          monitor/monitor_test.cc
          monitor/refused_watch_test.cc monitor/socket_owner_test.cc LIBS oqto_test_monitored oqto_loopback)
oqto_test(sandbox_programs_test SOURCES launch/programs_test.cc LIBS oqto_test_monitored)
add_executable(session_bench EXCLUDE_FROM_ALL launch/session_bench.cc)
target_link_libraries(session_bench PRIVATE oqto_test_monitored)
