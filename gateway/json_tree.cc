#include "gateway/json_tree.h"

#include <algorithm>
#include <vector>

namespace oqto::gateway {
namespace {

class TreeReader final : public nlohmann::json_sax<Tree> {
 public:
  Tree root;
  std::string wrong;  // what is, if not the syntax

  bool null() override { return value(nullptr); }
  bool boolean(bool flag) override { return value(flag); }
  bool number_integer(std::int64_t number) override { return value(number); }
  bool number_unsigned(std::uint64_t number) override { return value(number); }
  bool number_float(double number, const std::string&) override { return value(number); }
  bool string(std::string& text) override { return value(std::move(text)); }
  bool binary(Tree::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Tree::object()); }
  bool start_array(std::size_t) override { return open(Tree::array()); }
  bool key(std::string& name) override {
    name_ = std::move(name);
    return true;
  }
  bool end_object() override {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : open_.back()->get_ref<const Tree::object_t&>()) names.push_back(name);
    std::ranges::sort(names);
    open_.pop_back();
    return std::ranges::adjacent_find(names) == names.end() || refuse("names a member twice");
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool refuse(const char* what) {
    wrong = what;
    return false;
  }
  bool value(Tree&& made) { return put(std::move(made)) != nullptr; }
  bool open(Tree&& made) {
    if (open_.size() >= kMaxJsonDepth) return refuse("is nested too deeply");
    Tree* const inner = put(std::move(made));
    if (inner != nullptr) open_.push_back(inner);
    return inner != nullptr;
  }
  // Only the innermost open one grows: those around it stay where they are.
  Tree* put(Tree&& made) {
    if (++values_ > kMaxJsonValues) {
      refuse("has too many values");
      return nullptr;
    }
    if (open_.empty()) return &(root = std::move(made));
    Tree& into = *open_.back();
    if (into.is_array()) return &into.get_ref<Tree::array_t&>().emplace_back(std::move(made));
    return &into.get_ref<Tree::object_t&>().emplace_back(std::move(name_), std::move(made)).second;
  }

  std::vector<Tree*> open_;
  std::string name_;
  std::size_t values_ = 0;
};

}  // namespace

std::expected<Tree, std::string> read_tree(std::string_view text) {
  TreeReader reader;
  if (Tree::sax_parse(text, &reader)) return std::move(reader.root);
  return std::unexpected(reader.wrong.empty() ? std::string("is not one JSON text") : reader.wrong);
}

}  // namespace oqto::gateway
