// A real directory, watched; what is recorded of it.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/sys.h"
#include "sandbox/monitor/file_watch.h"
#include "sandbox/monitor/test_monitored.h"

namespace oqto::sandbox {

namespace fs = std::filesystem;
class Files : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/oqto-files-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    dir_ = path;
  }
  void TearDown() override { fs::remove_all(dir_); }

  void begin() {
    watch_.emplace(recorder_, *sys::open_dir(dir_.c_str()), "/workspace");
    ASSERT_TRUE(watch_->attach(loop_));
    settle();
  }
  // Until all directories are watched, and what has happened is read.
  void settle() {
    do {
      watch_->tick(0);
      ASSERT_TRUE(loop_.run_once(0));
    } while (watch_->timeout_ms() == 0);
    ASSERT_TRUE(loop_.run_once(0));
  }
  void write(const std::string& name) const { std::ofstream(dir_ + "/" + name) << "text"; }
  // The records, as "event path target count".
  std::vector<std::string> changes() {
    settle();
    watch_->flush();
    std::vector<std::string> all;
    for (const auto& record : recorder_.records) {
      std::string text(ipc::event_name(record.event));
      for (const ipc::FieldKey key :
           {ipc::FieldKey::path, ipc::FieldKey::target, ipc::FieldKey::count}) {
        if (!value(record, key).empty()) text += ' ' + value(record, key);
      }
      all.push_back(text);
    }
    recorder_.records.clear();
    return all;
  }

  std::string dir_;
  ipc::Loop loop_ = *ipc::Loop::create();
  KeptRecords recorder_;
  std::optional<FileWatch> watch_;
};
using Changes = std::vector<std::string>;

}  // namespace oqto::sandbox
