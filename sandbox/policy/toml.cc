#include "sandbox/policy/toml.h"

#include <algorithm>

#include "base/encoding.h"
#include "sandbox/policy/builder.h"
#include "sandbox/policy/items.h"

namespace oqto::sandbox {
namespace {

using Kind = PolicyNode::Kind;
using Parsed = std::expected<ParsedPolicy, PolicyRefusal>;

constexpr std::string_view kDefaultProfile = "development";
constexpr std::size_t kMaxProfiles = 16;
constexpr std::size_t kMaxProfileName = 32;
constexpr std::size_t kMaxShownLine = 120;  // bytes, as the next two
constexpr std::size_t kMaxShownName = 100;
constexpr std::size_t kMaxError = 480;

bool is_profile_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxProfileName &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

std::optional<ipc::Profile> built_in(std::string_view name) {
  for (std::size_t i = 0; i < policies::kProfiles; ++i) {
    const auto profile = static_cast<ipc::Profile>(i);
    if (name == profile_name(profile)) return profile;
  }
  return {};
}

// --- what both kinds of file say at the top ----------------------------------------------------

Taken check_enabled(const PolicyNode& root) {
  const PolicyEntry* enabled = root.find("enabled");
  if (enabled == nullptr) return {};
  if (enabled->value.kind == Kind::flag && enabled->value.flag) return {};
  return refuse(enabled->line, "no switch turns a sandbox off: write true, or remove this");
}

Taken check_profile_kind(const PolicyEntry& entry) {
  if (entry.value.kind == Kind::text) return {};
  return refuse(entry.line, "a profile's name is needed, in quotes");
}

std::vector<PolicyEntry> without_top_keys(const PolicyNode& root) {
  std::vector<PolicyEntry> entries;
  for (const PolicyEntry& entry : root.entries) {
    if (std::ranges::find(kTopKeys, entry.key) == std::end(kTopKeys)) entries.push_back(entry);
  }
  return entries;
}

// --- a host's file -----------------------------------------------------------------------------

class HostFile {
 public:
  HostFile(const PolicyNode& root, const PolicyContext& context)
      : root_(root), context_(context), flat_(without_top_keys(root)) {}

  Parsed read(std::string_view wanted) {
    if (const Taken taken = check_enabled(root_); !taken) return std::unexpected(taken.error());
    if (const Taken taken = check_profiles(); !taken) return std::unexpected(taken.error());
    const PolicyEntry* cap = root_.find("profile");
    if (cap != nullptr) {
      if (const Taken taken = check_profile_kind(*cap); !taken) {
        return std::unexpected(taken.error());
      }
    }
    if (wanted.empty())
      wanted = cap != nullptr ? std::string_view(cap->value.text) : kDefaultProfile;
    if (cap == nullptr) return adjusted(wanted, 1);
    auto named = adjusted(cap->value.text, cap->line);
    if (!named) return named;
    auto own = adjusted(wanted, 1);
    if (!own) return own;
    return capped(*std::move(own), *std::move(named), *cap);
  }

 private:
  // All of them, chosen or not: a mistake in one must not wait for the day that it is chosen.
  Taken check_profiles() {
    const PolicyEntry* all = root_.find("profiles");
    if (all == nullptr) return {};
    if (all->value.kind != Kind::table) return refuse(all->line, "write [profiles.NAME]");
    profiles_ = &all->value;
    if (profiles_->entries.size() > kMaxProfiles) return refuse(all->line, "at most 16 profiles");
    for (const PolicyEntry& profile : profiles_->entries) {
      if (!is_profile_name(profile.key)) {
        return refuse(profile.line, "a profile's name is 1 to 32 of a-z, 0-9, - and _");
      }
      if (profile.value.kind != Kind::table) return refuse(profile.line, "write [profiles.NAME]");
      PolicyBuilder builder(base(profile.key), context_);
      if (const Taken taken = builder.take(profile.value.entries); !taken) return taken;
      if (const auto done = std::move(builder).finish(); !done) return refuse_again(done.error());
    }
    return {};
  }

  static std::unexpected<PolicyRefusal> refuse_again(const PolicyRefusal& refusal) {
    return std::unexpected(refusal);
  }

  static Policy base(std::string_view name) {
    return profile_policy(built_in(name).value_or(ipc::Profile::development));
  }

  [[nodiscard]] const PolicyEntry* defined(std::string_view name) const {
    return profiles_ == nullptr ? nullptr : profiles_->find(name);
  }

  // The profile as this file has it: what it says of that one, then what it says of all.
  Parsed adjusted(std::string_view name, std::size_t line) const {
    const PolicyEntry* own = defined(name);
    if (own == nullptr && !built_in(name)) return unknown_profile(name, line);
    PolicyBuilder builder(base(name), context_);
    if (own != nullptr) {
      if (const Taken taken = builder.take(own->value.entries); !taken) {
        return refuse_again(taken.error());
      }
    }
    if (const Taken taken = builder.take(flat_); !taken) return refuse_again(taken.error());
    return std::move(builder).finish();
  }

  [[nodiscard]] Parsed unknown_profile(std::string_view name, std::size_t line) const {
    std::string known = "minimal, development, strict";
    for (std::size_t i = 0; profiles_ != nullptr && i < profiles_->entries.size(); ++i) {
      const std::string& each = profiles_->entries[i].key;
      if (!built_in(each)) known += ", " + each;
    }
    const std::string shown = is_profile_name(name) ? " `" + std::string(name) + '`' : "";
    return refuse(line, "there is no profile" + shown + "; there are " + known);
  }

  Parsed capped(ParsedPolicy own, ParsedPolicy named, const PolicyEntry& cap) const {
    own.policy = meet(own.policy, named.policy);
    if (!own.policy.fits_one_file()) {
      return refuse(cap.line, "this profile and the one that was chosen are too long together");
    }
    for (PolicyOrigin& origin : named.origins) {
      const bool known = std::ranges::any_of(own.origins, [&](const PolicyOrigin& each) {
        return each.line == origin.line && each.key == origin.key && each.item == origin.item;
      });
      if (!known) own.origins.push_back(std::move(origin));
    }
    for (PolicyNote& note : named.notes) {
      if (std::ranges::find(own.notes, note) == own.notes.end()) own.notes.push_back(std::move(note));
    }
    own.origins.push_back({"profile", cap.value.text, cap.line});
    return own;
  }

  const PolicyNode& root_;
  const PolicyContext& context_;
  std::vector<PolicyEntry> flat_;
  const PolicyNode* profiles_ = nullptr;
};

// --- a workspace's file ------------------------------------------------------------------------

Parsed read_workspace(const PolicyNode& root, const PolicyContext& context) {
  if (const Taken taken = check_enabled(root); !taken) return std::unexpected(taken.error());
  if (const PolicyEntry* profiles = root.find("profiles")) {
    return refuse(profiles->line,
                  "a workspace's file can only tighten: profiles are for the host's policy");
  }
  Policy wish = loosest_policy();
  const PolicyEntry* profile = root.find("profile");
  if (profile != nullptr) {
    if (const Taken taken = check_profile_kind(*profile); !taken) {
      return std::unexpected(taken.error());
    }
    const auto label = built_in(profile->value.text);
    if (!label) {
      return refuse(profile->line, "the profiles are \"minimal\", \"development\" and \"strict\"");
    }
    wish.profile = *label;
  }
  PolicyBuilder builder(std::move(wish), context);
  if (const Taken taken = builder.take(without_top_keys(root)); !taken) {
    return std::unexpected(taken.error());
  }
  auto parsed = std::move(builder).finish();
  if (parsed && profile != nullptr) {
    parsed->origins.push_back({"profile", profile->value.text, profile->line});
  }
  return parsed;
}

// --- a context that "./" and "~/" can be read in ------------------------------------------------

bool is_root_path(std::string_view path) {
  return path.starts_with('/') && path != "/" && is_policy_path(path);
}

// --- errors ------------------------------------------------------------------------------------

// What a terminal or a log can show: no control characters, whole characters, at most `max` bytes.
std::string shown(std::string_view text, std::size_t max) {
  std::string out;
  for (std::size_t i = 0; i < text.size() && out.size() < max; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) < 0xa0;  // U+0080 to U+009F
    if (c1) ++i;
    out += byte < 0x20 || byte == 0x7f || c1 ? '?' : text[i];
  }
  while (!out.empty() && !is_valid_utf8(out)) out.pop_back();
  return out;
}

std::string_view line_of(std::string_view text, std::size_t line) {
  for (std::size_t i = 1; i < line && !text.empty(); ++i) {
    const std::size_t end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  text = text.substr(0, text.find('\n'));
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

std::string explained(std::string_view text, std::string_view name, const PolicyRefusal& refusal) {
  if (text.empty()) return shown(shown(name, kMaxShownName) + ": " + refusal.what, kMaxError);
  const std::string_view line = is_valid_utf8(text) ? line_of(text, refusal.line) : "";
  return shown(shown(name, kMaxShownName) + ':' + std::to_string(refusal.line) + ": `" +
                   shown(line, kMaxShownLine) + "`: " + refusal.what,
               kMaxError);
}

}  // namespace

std::expected<ParsedPolicy, std::string> parse_policy(std::string_view text,
                                                      const PolicyContext& context,
                                                      std::string_view profile) {
  const auto parse = [&]() -> Parsed {
    if (!is_root_path(context.workspace) || !is_root_path(context.home)) {
      return refuse(1, "a session needs a workspace and a home with absolute paths below /");
    }
    if (text.size() > kMaxPolicyBytes) return refuse(1, "a policy file has at most 64 KiB");
    const auto root = read_document(text);
    if (!root) return std::unexpected(root.error());
    if (context.source == PolicySource::workspace) return read_workspace(*root, context);
    return HostFile(*root, context).read(profile);
  };
  auto parsed = parse();
  if (!parsed) return std::unexpected(explained(text, context.name, parsed.error()));
  return *std::move(parsed);
}

}  // namespace oqto::sandbox
