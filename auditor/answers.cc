#include "auditor/answers.h"

#include <algorithm>

#include "audit/read/export.h"
#include "base/encoding.h"
#include "protocol/json_writer.h"

namespace oqto::auditor {
using protocol::Code;
using protocol::Failure;
using protocol::JsonArray;
using protocol::JsonObject;

Failure failure_of(const Error& error) {
  switch (error.code) {
    case Errc::invalid:
      return {Code::bad_request, error.what};
    case Errc::not_found:
      return {Code::not_found, error.what};
    case Errc::limit:
      return {Code::refused, error.what};
    default:
      return {Code::unavailable, error.what};
  }
}

void add_unknown(JsonObject& data, const std::vector<std::string>& unknown) {
  if (unknown.empty()) return;
  JsonArray array;
  for (const std::string& sentence : unknown) array.text(sentence);
  data.json("unknown", array.str());
}

namespace {

constexpr std::size_t kExportRows = 1000;

Answers::Counted failed(const Error& error) {
  return {std::unexpected(failure_of(error)), 0};
}

Answers::Counted refused(std::string why) {
  return {std::unexpected(Failure{Code::bad_request, std::move(why)}), 0};
}

}  // namespace

std::string hashes_json(const std::vector<audit::Hash>& hashes) {
  JsonArray array;
  for (const audit::Hash& hash : hashes) array.text(to_base64(hash));
  return array.str();
}

namespace {

std::string row_json(const Row& row) {
  JsonObject object;
  object.number("index", row.index).text("entry", row.entry);
  using enum LogView::Opening;
  if (row.opened.how == opened) object.text("opened", row.opened.plaintext);
  if (row.opened.how == no_key) object.text("sealed", "sealed");
  if (row.opened.how == erased) object.text("sealed", "erased");
  return object.members();
}

}  // namespace

Answers::Counted Answers::to(const protocol::AuditCommand& command) {
  return std::visit(
      [this](const auto& args) -> Counted {
        using Args = std::remove_cvref_t<decltype(args)>;
        if constexpr (std::is_same_v<Args, protocol::AuditCheckpoint>) return checkpoint(args);
        if constexpr (std::is_same_v<Args, protocol::AuditSearch>) return search(args);
        if constexpr (std::is_same_v<Args, protocol::AuditSubjects>) return subjects();
        if constexpr (std::is_same_v<Args, protocol::AuditTimeline>) return timeline(args);
        if constexpr (std::is_same_v<Args, protocol::AuditEntry>) return entry(args);
        if constexpr (std::is_same_v<Args, protocol::AuditConsistency>) return consistency(args);
        if constexpr (std::is_same_v<Args, protocol::AuditSeals>) return seals(args);
        if constexpr (std::is_same_v<Args, protocol::AuditRecording>) return recording(args);
        if constexpr (std::is_same_v<Args, protocol::AuditExport>) return export_range(args);
      },
      command.args);
}

// A proof that cannot be made is `null`: why, is not for the host to say.
void Answers::add_consistency(JsonObject& data, std::uint64_t old_size, std::uint64_t size) const {
  data.number("old_size", old_size);
  const auto proof = view_.prove_consistency(old_size, size);
  data.json("consistency", proof ? hashes_json(*proof) : "null");
}

Answers::Counted Answers::checkpoint(const protocol::AuditCheckpoint& args) {
  const auto published = view_.published();
  if (!published) return failed(published.error());
  const Follower::State state = follower_.state();
  JsonObject data;
  data.text("note", published->note).number("first", state.first).number("indexed", state.next);
  data.text_unless_empty("trouble", state.trouble);
  if (args.old_size) add_consistency(data, *args.old_size, published->checkpoint.size);
  return {data.str(), 0};
}

Answers::Counted Answers::consistency(const protocol::AuditConsistency& args) {
  const auto published = view_.published();
  if (!published) return failed(published.error());
  JsonObject data;
  data.text("note", published->note);
  add_consistency(data, args.old_size, published->checkpoint.size);
  return {data.str(), 0};
}

Answers::Counted Answers::search(const protocol::AuditSearch& args) {
  if (auto problem = filter_problem(args.filter)) return refused(std::move(*problem));
  const Search::Range range{.from = args.from.value_or(0),
                            .to = args.before.value_or(protocol::kMaxAuditIndex),
                            .ascending = false,
                            .limit = args.limit};
  const auto page = search_.run(args.filter, range);
  if (!page) return failed(page.error());
  JsonArray rows;
  for (const Row& row : page->rows) rows.json('{' + row_json(row) + '}');
  JsonObject data;
  data.json("entries", rows.str()).number("indexed", follower_.state().next);
  data.json("next", page->next ? std::to_string(*page->next) : "null");
  add_unknown(data, page->unknown);
  return {data.str(), page->rows.size()};
}

Answers::Counted Answers::entry(const protocol::AuditEntry& args) {
  const auto published = view_.published();
  if (!published) return failed(published.error());
  auto text = search_.entry(args.index);
  if (!text) return failed(text.error());
  Row row{args.index, std::move(*text), {}};
  row.opened = view_.open_sealed(row.index, row.entry);
  const std::uint64_t size = published->checkpoint.size;
  JsonObject data;
  data.append(row_json(row)).text("note", published->note);
  const auto proof = view_.prove_inclusion(args.index, size);
  data.json("proof", proof ? hashes_json(*proof) : "null");
  if (args.old_size) add_consistency(data, *args.old_size, size);
  return {data.str(), 1};
}

Answers::Counted Answers::export_range(const protocol::AuditExport& args) {
  if (auto problem = filter_problem(args.filter)) return refused(std::move(*problem));
  const Search::Range range{.from = args.from,
                            .to = args.to.value_or(protocol::kMaxAuditIndex),
                            .ascending = true,
                            .limit = kExportRows};
  const auto page = search_.run(args.filter, range);
  if (!page) return failed(page.error());
  const auto published = view_.published();
  const audit::OcsfSource from{published ? std::string(audit::first_line(published->note)) : ""};
  std::string lines;
  for (const Row& row : page->rows) {
    lines += args.format == protocol::ExportFormat::ocsf ? audit::to_ocsf(row.index, row.entry, from)
                                                         : row.entry;
    lines += '\n';
  }
  JsonObject data;
  data.text("lines", lines).number("count", page->rows.size());
  add_unknown(data, page->unknown);
  data.json("next", page->next ? std::to_string(*page->next) : "null");
  return {data.str(), page->rows.size()};
}

}  // namespace oqto::auditor
