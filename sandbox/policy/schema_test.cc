// policies/: the JSON schema says what the parser accepts, and the templates are accepted.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "sandbox/policy/builder.h"

namespace oqto::sandbox {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::filesystem::path kPolicies = std::filesystem::path(OQTO_SOURCE) / "policies";

// --- as much of JSON as our own file needs -------------------------------------------------------

struct Json {
  std::string text;  // of a string, a number, true or false
  std::map<std::string, Json> members;
  std::vector<Json> items;
  [[nodiscard]] bool has(const std::string& key) const { return members.contains(key); }
  [[nodiscard]] const Json& at(const std::string& key) const {
    static const Json kNone;
    const auto found = members.find(key);
    return found == members.end() ? kNone : found->second;
  }
};

class JsonReader {
 public:
  explicit JsonReader(std::string text) : text_(std::move(text)) {}

  Json value() {
    Json own;
    switch (next()) {
      case '{':
        while (next_is_item('}')) {
          const std::string key = string();
          EXPECT_EQ(next(), ':');
          ++at_;
          own.members[key] = value();
        }
        break;
      case '[':
        while (next_is_item(']')) own.items.push_back(value());
        break;
      case '"':
        own.text = string();
        break;
      default:
        while (at_ < text_.size() &&
               std::string_view(",]} \n").find(text_[at_]) == std::string_view::npos) {
          own.text += text_[at_++];
        }
    }
    return own;
  }
  bool at_end() { return next() == '\0'; }

 private:
  char next() {
    while (at_ < text_.size() && std::string_view(" \n").find(text_[at_]) != std::string_view::npos)
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  // Steps over what opens the list or parts its items.
  bool next_is_item(char end) {
    const char c = next();
    if (c == end || c == '\0') {
      ++at_;
      return false;
    }
    if (c != '{' && c != '[' && c != ',') return false;
    ++at_;
    if (next() != end) return true;
    ++at_;
    return false;
  }
  std::string string() {
    EXPECT_EQ(next(), '"');
    std::string out;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
      out += text_[at_];
    }
    ++at_;
    return out;
  }

  std::string text_;
  std::size_t at_ = 0;
};

// --- the schema ----------------------------------------------------------------------------------

class Schema : public testing::Test {
 protected:
  Schema() {
    JsonReader reader(read_text(kPolicies / "sandbox.schema.json"));
    root_ = reader.value();
    EXPECT_TRUE(reader.at_end());
  }
  // Where a property is described: "#/$defs/NAME" or in place.
  [[nodiscard]] const Json& described(const Json& property) const {
    if (!property.has("$ref")) return property;
    const std::string ref = property.at("$ref").text;
    return root_.at("$defs").at(ref.substr(ref.rfind('/') + 1));
  }
  // "key" and "table.key" to what describes it.
  [[nodiscard]] std::map<std::string, const Json*> keys(const Json& object) const {
    std::map<std::string, const Json*> all;
    for (const auto& [name, property] : object.at("properties").members) {
      const Json& own = described(property);
      if (!own.has("properties")) {
        all[name] = &own;
        continue;
      }
      EXPECT_EQ(own.at("additionalProperties").text, "false") << name;
      for (const auto& [key, inner] : own.at("properties").members) {
        all[name + '.' + key] = &described(inner);
      }
    }
    return all;
  }
  Json root_;
};

std::string full_name(const PolicyKey& row) {
  return (row.table.empty() ? "" : std::string(row.table) + '.') + std::string(row.key);
}

TEST_F(Schema, HasTheParsersKeysAndNoOthers) {
  std::set<std::string> known(std::begin(kTopKeys), std::end(kTopKeys));
  std::set<std::string> in_profile;
  for (const PolicyKey& row : policy_keys()) in_profile.insert(full_name(row));
  known.insert(in_profile.begin(), in_profile.end());
  std::set<std::string> in_schema, in_schema_profile;
  for (const auto& [name, property] : keys(root_)) in_schema.insert(name);
  for (const auto& [name, property] : keys(root_.at("$defs").at("profile"))) {
    in_schema_profile.insert(name);
  }
  EXPECT_EQ(in_schema, known);
  EXPECT_EQ(in_schema_profile, in_profile);
  EXPECT_EQ(root_.at("additionalProperties").text, "false");
  EXPECT_EQ(root_.at("$defs").at("profile").at("additionalProperties").text, "false");
}

TEST_F(Schema, SaysOfEveryKeyWhatItIs) {
  const auto all = keys(root_);
  for (const PolicyKey& row : policy_keys()) {
    const Json& property = *all.at(full_name(row));
    EXPECT_FALSE(property.at("description").text.empty()) << full_name(row);
    static const std::map<PolicyNode::Kind, std::string> kTypes = {
        {PolicyNode::Kind::flag, "boolean"},
        {PolicyNode::Kind::number, "integer"},
        {PolicyNode::Kind::text, "string"},
        {PolicyNode::Kind::list, "array"},
        {PolicyNode::Kind::table, "object"}};
    const std::string type = property.has("type") ? property.at("type").text : "string";
    EXPECT_EQ(type, kTypes.at(row.kind)) << full_name(row);
  }
}

TEST_F(Schema, HasTheParsersLimits) {
  const auto all = keys(root_);
  for (const policies::LimitRow& row : policies::kLimitRows) {
    const Json& property = *all.at("limits." + std::string(row.key));
    EXPECT_EQ(property.at("minimum").text, std::to_string(row.floor)) << row.key;
    EXPECT_EQ(property.at("maximum").text, std::to_string(row.ceiling)) << row.key;
  }
}

// --- the templates -------------------------------------------------------------------------------

// With every setting that is shown but not on.
std::string all_on(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1);
    std::string line = text.substr(at, end + 1 - at);
    const bool setting = line.size() > 1 && line[0] == '#' &&
                         (line[1] == '[' || line[1] == '"' || (line[1] >= 'a' && line[1] <= 'z'));
    out += setting ? line.substr(1) : line;
    at = end + 1;
  }
  return out;
}

TEST(Templates, AreAcceptedAsTheyAreAndWithEverythingOn) {
  for (const char* name : {"minimal", "development", "strict", "host"}) {
    const std::string file = std::string(name) + ".toml";
    const std::string text = read_text(kPolicies / "templates" / file);
    const PolicyContext context{.name = file,
                                .source = PolicySource::host,
                                .hosted = file == "host.toml",
                                .workspace = "/home/u/ws",
                                .home = "/home/u"};
    for (const std::string& each : {text, all_on(text)}) {
      const auto policy = parse_policy(each, context, "");
      EXPECT_TRUE(policy.has_value()) << policy.error();
    }
    EXPECT_NE(parse_policy(all_on(text), context, "minimal")->origins.size(), 0U) << file;
  }
}

TEST(Templates, OfTheProfilesChangeNothingButWhatTheySay) {
  for (const char* name : {"minimal", "strict"}) {
    const std::string text = read_text(kPolicies / "templates" / (std::string(name) + ".toml"));
    PolicyContext context;
    const auto wish = parse_policy(text, context);
    ASSERT_TRUE(wish.has_value()) << wish.error();
    context.source = PolicySource::host;
    const auto policy = parse_policy(text, context, "");
    ASSERT_TRUE(policy.has_value()) << policy.error();
    EXPECT_EQ(policy->policy, profile_policy(wish->policy.profile));
  }
}

}  // namespace
}  // namespace oqto::sandbox
