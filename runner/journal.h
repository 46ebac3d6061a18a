// The turn that runs, as far as it was shown: kept in a file of its own so that the end of this process
// takes nothing back that somebody has seen. It is not synced: it guards against a crash of this process;
// after one of the machine the harness's own file is what there is.
#pragma once
#include <optional>
#include <string>

#include "base/encoding.h"
#include "base/fd.h"
#include "base/result.h"
#include "protocol/message.h"

namespace oqto::runner {

class Journal {
 public:
  Journal(const Fd& state_dir, const Uuid& session);

  // What an earlier process left: a turn was open; what of an answer had been streamed.
  struct Left {
    std::optional<protocol::Message> prompt;
    std::optional<protocol::Message> partial;
    unsigned deliveries = 0;  // how often the prompt was given to the harness
  };
  [[nodiscard]] std::optional<Left> left() const;

  void begin_turn(const protocol::Message& prompt);
  void delivered(unsigned times);
  void begin_message(const protocol::Message& head);
  void add(protocol::Part::Type type, std::int64_t index, std::string_view text);
  void end_message();  // it is stored
  void end_turn();     // everything is
  [[nodiscard]] bool open() const { return static_cast<bool>(file_); }

 private:
  void write_head(const std::string& line);
  void write(const std::string& line);

  const Fd& state_dir_;
  std::string name_;
  Fd file_;
  std::int64_t head_ = 0;  // bytes of the turn's own lines
  std::size_t bytes_ = 0;  // of the message that is being streamed
};

}  // namespace oqto::runner
