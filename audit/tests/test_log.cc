#include "audit/tests/test_log.h"

#include <filesystem>

namespace oqto::audit {

using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;
using ipc::Phase;
using ipc::Process;

const std::vector<std::string> kHostileTexts = {
    "\x1b]0;title\x07\x1b[2J",                            // terminal escapes
    "two\nlines\r\tand\x7f more",                         // line breaks
    "\xc2\x9b" "2J",                                      // C1 control sequence introducer
    "\xff\xfe\x1b[31m",                                   // no UTF-8
    "\xe2\x80\xaegpj.exe\xe2\x81\xa6",                    // text direction
    "a|b=c\\d|cs1=forged CEF:0|x",                        // CEF's own syntax
    "\",\"event\":\"forged\"}\n{\"seq\":0",               // JSON's own syntax
    "=cmd|' /C calc'!A0",                                 // a spreadsheet's formula
    "\xe2\x80\xa8" "line separator",                      // U+2028
};

bool has_raw_control_byte(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n') || byte == 0x7f) return true;
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) return true;
  }
  return contains(text, "\xe2\x80\xae") || contains(text, "\xe2\x81\xa6") || contains(text, "\xff");
}

std::string oqto_audit(const std::string& arguments) {
  return program("oqto-audit") + " " + arguments;
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

void TestLog::copy_in_order(const std::string& from, const std::string& to) {
  const Output copied = run(oqto_audit("copy " + to + " --log " + from));
  CHECK(copied.status == 0);
}

void TestLog::write_kinds() {
  const auto append = [](ipc::AuditClient& client, ipc::AuditAppend record, Outcome outcome) {
    record.outcome = outcome;
    return *client.append(std::move(record));
  };
  ipc::AuditClient accounts(host_.source(Process::accounts, 0, "", 17, 20002));
  ipc::AuditClient ann(host_.source(Process::runner, 7, "ann", 4242, 20007));
  ipc::AuditClient bob(host_.source(Process::runner, 8, "bob", 4243, 20008));
  append(accounts,
         record(Event::login).add(FieldKey::username, "ann").add(FieldKey::account, "7")
             .add(FieldKey::remote, "10.0.0.7"),
         Outcome::success);
  append(accounts,
         record(Event::login).add(FieldKey::username, "bob").add(FieldKey::account, "8")
             .add(FieldKey::reason, "wrong password"),
         Outcome::failure);
  append(ann,
         record(Event::session_start).add(FieldKey::profile, "development")
             .add(FieldKey::session, "0f000000-0000-4000-8000-000000000001")
             .add(FieldKey::policy, "profile = \"development\"\n"),
         Outcome::success);
  auto intent = record(Event::command, Phase::intent);
  const std::uint64_t at = append(
      ann, intent.add(FieldKey::command, "prompt").add(FieldKey::args, R"({"text":"Übung"})"),
      Outcome::unknown);
  auto outcome = record(Event::command, Phase::outcome);
  outcome.intent = at;
  append(ann, outcome.add(FieldKey::command, "prompt"), Outcome::success);
  append(bob, record(Event::command, Phase::intent).add(FieldKey::command, "abort"),
         Outcome::unknown);
  append(ann,
         record(Event::exec).add(FieldKey::argv, "/usr/bin/rm").add(FieldKey::argv, "-rf")
             .add(FieldKey::argv, "/tmp/x").add(FieldKey::cwd, "/work").add(FieldKey::pid, "12"),
         Outcome::success);
  append(ann, record(Event::network).add(FieldKey::host, "example.com").add(FieldKey::port, "443"),
         Outcome::failure);
  append(ann, record(Event::denial).add(FieldKey::syscall, "ptrace").add(FieldKey::count, "3"),
         Outcome::failure);
  for (const std::string& text : kHostileTexts) {
    append(bob, record(Event::exec).add(FieldKey::argv, text).add(FieldKey::cwd, text),
           Outcome::unknown);
  }
}

std::unique_ptr<TestLog> TestLog::write(const std::string& segment_bytes, int more) {
  auto log = std::unique_ptr<TestLog>(new TestLog);
  log->host_.auditd_arguments = {"--segment-bytes", segment_bytes};
  CHECK(log->host_.start());
  log->write_kinds();
  auto client = log->host_.client();
  for (int i = 0; i < more; ++i) {
    auto append = record(Event::exec).add(FieldKey::argv, "program").add(FieldKey::cwd, "/work");
    if (i % 3 == 0) {
      CHECK(client.append(append));
    } else {
      CHECK(client.post(append));
    }
    if (i != more / 2 && i != more * 3 / 4) continue;
    log->host_.stop();  // publishes everything, and ends the epoch
    if (i == more / 2) {
      copy_in_order(log->dir(), log->older_dir());
      copy_directory(log->host_.key_dir(), log->older_.path() + "/key");
    }
    CHECK(log->host_.start());
    client = log->host_.client();
  }
  CHECK(client.append(record(Event::logout)));
  log->host_.stop();
  return log;
}

void TestLog::restore_older(TestHost& host) const {
  copy_directory(older_dir(), host.log_dir());
  copy_directory(older_.path() + "/key", host.key_dir());
}

VerifierKey TestLog::vkey() const {
  return *VerifierKey::parse(first_line(read_file(vkey_file())));
}

SigningKey TestLog::key() const {
  return *SigningKey::parse(first_line(read_file(host_.key_dir() + "/log.key")));
}

// The signer's file has two places, of which one is empty; the key stands behind the epoch's number.
SigningKey TestLog::epoch_key() const {
  constexpr std::size_t kPlace = 8192;
  const std::string file = read_file(host_.key_dir() + "/epoch");
  const std::size_t at = file.find("PRIVATE+KEY+") < kPlace ? 0 : kPlace;
  const std::size_t length = static_cast<unsigned char>(file[at + 8]);
  return *SigningKey::parse(file.substr(at + 12, length));
}

std::uint64_t TestLog::size() const {
  return read_checkpoint(read_file(dir() + "/checkpoint"))->size;
}

}  // namespace oqto::audit
