#include "base/log.h"

#include <string.h>
#include <unistd.h>

namespace oqto::log {
namespace {

const char* process_name = "oqto";

void append_quoted(std::string& line, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  constexpr std::size_t kMaxValue = 512;
  line += '"';
  for (const char c : text.substr(0, kMaxValue)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      line += "\\x";
      line += kHex[byte >> 4];
      line += kHex[byte & 15];
    } else {
      if (c == '"' || c == '\\') line += '\\';
      line += c;
    }
  }
  line += '"';
}

void write_line(std::string_view level, std::string_view message,
                std::initializer_list<Field> fields) {
  std::string line = "level=";
  line += level;
  line += " at=";
  line += process_name;
  line += " msg=";
  append_quoted(line, message);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_quoted(line, field.value);
  }
  line += '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());  // nowhere left to report a failure
}

}  // namespace

void set_process_name(const char* name) { process_name = name; }
void info(std::string_view m, std::initializer_list<Field> f) { write_line("info", m, f); }
void warn(std::string_view m, std::initializer_list<Field> f) { write_line("warn", m, f); }
void error(std::string_view m, std::initializer_list<Field> f) { write_line("error", m, f); }
void error(std::string_view message, const Error& cause) {
  error(message,
        {{"cause", cause.what}, {"errno", cause.sys != 0 ? ::strerrordesc_np(cause.sys) : "none"}});
}

int exit_status(const Status& status) {
  if (status) return 0;
  error("stopped", status.error());
  return 1;
}

}  // namespace oqto::log
