// One line per event on stderr: `level=info at=guard msg="runner started" account=7`. Values are
// escaped in one place, so nothing a peer sent can break a line. Library code does not log; the
// process that decides does. Never pass message bodies, tokens or keys.
#pragma once
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace oqto::log {

struct Field {
  std::string_view key;
  std::string value;
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, std::integral auto v) : key(k), value(std::to_string(v)) {}
};

void set_process_name(const char* name);  // static text
void info(std::string_view message, std::initializer_list<Field> fields = {});
void warn(std::string_view message, std::initializer_list<Field> fields = {});
void error(std::string_view message, std::initializer_list<Field> fields = {});
void error(std::string_view message, const Error& cause);

// For the end of main(): prints the error, if there is one, and gives the exit status.
int exit_status(const Status& status);

}  // namespace oqto::log
