#include "gateway/request_rules.h"

#include <algorithm>
#include <array>

namespace oqto::gateway {
namespace {

using Name = std::string_view;

// Members that some providers know and that only shape the answer.
constexpr auto kOpenAiMembers = std::to_array<Name>({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "stop", "n", "seed", "logprobs",
    "top_logprobs", "logit_bias", "response_format", "tools", "tool_choice", "parallel_tool_calls", "tool_stream",
    "functions", "function_call", "user", "metadata", "reasoning_effort", "reasoning", "include_reasoning",
    "reasoning_split", "thinking", "enable_thinking", "thinking_budget", "preserve_thinking", "chat_template_kwargs", "verbosity",
    "prediction", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "store", "usage"});
constexpr auto kOpenAiMessage = std::to_array<Name>({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning",
    "reasoning_content", "reasoning_text", "reasoning_details", "reasoning_opaque", "cache_control", "prefix"});
constexpr auto kOpenAiTool = std::to_array<Name>({"type", "function", "custom", "cache_control"});

constexpr auto kAnthropicMembers = std::to_array<Name>({
    "model", "messages", "max_tokens", "metadata", "stop_sequences", "stream", "system", "temperature", "thinking",
    "tool_choice", "tools", "top_k", "top_p", "service_tier", "output_config", "output_format", "context_management",
    "cache_control", "inference_geo", "speed"});
constexpr auto kAnthropicMessage = std::to_array<Name>({"role", "content"});
constexpr auto kAnthropicTool = std::to_array<Name>({
    "type", "name", "description", "input_schema", "cache_control", "strict", "eager_input_streaming", "defer_loading",
    "input_examples", "max_characters", "display_width_px", "display_height_px", "display_number", "enable_zoom"});

constexpr auto kFetchMembers = std::to_array<FetchMember>({
    {"web_search_options", Fetch::web_search}, {"search_parameters", Fetch::web_search},
    {"enable_search", Fetch::web_search}, {"search_options", Fetch::web_search}, {"web_search", Fetch::web_search},
    {"plugins", Fetch::web_search}, {"mcp_servers", Fetch::mcp}, {"container", Fetch::code_execution},
    {"previous_response_id", Fetch::stored}, {"conversation", Fetch::stored}, {"prompt", Fetch::stored},
    {"file_ids", Fetch::stored}, {"attachments", Fetch::stored}, {"cached_content", Fetch::stored}});
constexpr auto kFetchTools = std::to_array<FetchMember>({
    {"web_search", Fetch::web_search}, {"openrouter:web_search", Fetch::web_search}, {"browser_search", Fetch::web_search},
    {"google_search", Fetch::web_search}, {"x_search", Fetch::web_search}, {"web_fetch", Fetch::web_fetch},
    {"openrouter:web_fetch", Fetch::web_fetch}, {"url_context", Fetch::web_fetch},
    {"code_execution", Fetch::code_execution}, {"code_interpreter", Fetch::code_execution},
    {"bash_code_execution", Fetch::code_execution}, {"text_editor_code_execution", Fetch::code_execution},
    {"mcp", Fetch::mcp}, {"file_search", Fetch::stored}, {"retrieval", Fetch::stored},
    {"document_library", Fetch::stored}, {"collections_search", Fetch::stored}});

constexpr auto kText = std::to_array<Name>({"type", "text", "cache_control", "citations"});
constexpr auto kRefusal = std::to_array<Name>({"type", "refusal"});
constexpr auto kThinking = std::to_array<Name>({"type", "thinking", "signature", "data", "closed"});
constexpr auto kToolUse = std::to_array<Name>({"type", "id", "name", "input", "cache_control", "caller"});
constexpr auto kToolResult = std::to_array<Name>({"type", "tool_use_id", "content", "is_error", "cache_control"});
constexpr auto kSource = std::to_array<Name>({"type", "source", "title", "context", "citations", "cache_control"});
constexpr auto kSearchResult = std::to_array<Name>({"type", "source", "title", "content", "citations", "cache_control"});
constexpr auto kCompaction = std::to_array<Name>({"type", "content", "cache_control"});
constexpr auto kImageUrl = std::to_array<Name>({"type", "image_url", "cache_control"});
constexpr auto kVideoUrl = std::to_array<Name>({"type", "video_url"});
constexpr auto kAudioUrl = std::to_array<Name>({"type", "audio_url"});
constexpr auto kInputAudio = std::to_array<Name>({"type", "input_audio", "cache_control"});
constexpr auto kFile = std::to_array<Name>({"type", "file", "cache_control"});

constexpr auto kOpenAiParts = std::to_array<PartRule>({
    {"text", PartKind::plain, kText},
    {"refusal", PartKind::plain, kRefusal},
    {"thinking", PartKind::nested, kThinking},
    {"image_url", PartKind::address, kImageUrl, Fetch::image_url},
    {"video_url", PartKind::address, kVideoUrl, Fetch::image_url},
    {"audio_url", PartKind::address, kAudioUrl, Fetch::image_url},
    {"input_audio", PartKind::sound, kInputAudio, Fetch::image_url},
    {"file", PartKind::file, kFile, Fetch::file_url}});
constexpr auto kAnthropicParts = std::to_array<PartRule>({
    {"text", PartKind::plain, kText},
    {"thinking", PartKind::plain, kThinking},
    {"redacted_thinking", PartKind::plain, kThinking},
    {"compaction", PartKind::plain, kCompaction},
    {"tool_use", PartKind::plain, kToolUse},
    {"tool_result", PartKind::nested, kToolResult},
    {"search_result", PartKind::nested, kSearchResult},
    {"image", PartKind::source, kSource, Fetch::image_url},
    {"document", PartKind::source, kSource, Fetch::file_url},
    {"server_tool_use", PartKind::provider, {}},
    {"web_search_tool_result", PartKind::provider, {}, Fetch::web_search},
    {"web_fetch_tool_result", PartKind::provider, {}, Fetch::web_fetch},
    {"code_execution_tool_result", PartKind::provider, {}, Fetch::code_execution},
    {"bash_code_execution_tool_result", PartKind::provider, {}, Fetch::code_execution},
    {"text_editor_code_execution_tool_result", PartKind::provider, {}, Fetch::code_execution},
    {"mcp_tool_use", PartKind::provider, {}, Fetch::mcp},
    {"mcp_tool_result", PartKind::provider, {}, Fetch::mcp},
    {"container_upload", PartKind::provider, {}, Fetch::stored}});

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "web_search_20250305" is "web_search".
std::string_view without_version(std::string_view type) {
  constexpr std::size_t kVersion = 9;
  if (type.size() <= kVersion || type[type.size() - kVersion] != '_') return type;
  const std::string_view digits = type.substr(type.size() - kVersion + 1);
  return std::ranges::all_of(digits, is_digit) ? type.substr(0, type.size() - kVersion) : type;
}

bool starts_like(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::ranges::equal(text.substr(0, prefix.size()), prefix, [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
         });
}

std::optional<Fetch> find(std::span<const FetchMember> table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &FetchMember::name);
  if (found == table.end()) return {};
  return found->fetch;
}

}  // namespace

bool among(Names names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

const ShapeRules& openai_rules() {
  static constexpr ShapeRules kRules{kOpenAiMembers, kOpenAiMessage, kOpenAiTool};
  return kRules;
}
const ShapeRules& anthropic_rules() {
  static constexpr ShapeRules kRules{kAnthropicMembers, kAnthropicMessage, kAnthropicTool};
  return kRules;
}

std::optional<Fetch> fetch_of_member(std::string_view name) { return find(kFetchMembers, name); }

std::optional<Fetch> fetch_of_tool(std::string_view type) {
  if (type == "mcp_toolset") return Fetch::mcp;
  if (type.starts_with("web_search_preview")) return Fetch::web_search;
  return find(kFetchTools, without_version(type));
}

bool is_client_tool(std::string_view type) {
  static constexpr auto kTools = std::to_array<Name>({"bash", "text_editor", "computer", "memory"});
  const std::string_view name = without_version(type);
  return name.size() != type.size() && among(kTools, name);
}

const PartRule* part_rule(bool anthropic, std::string_view type) {
  const std::span<const PartRule> all = anthropic ? std::span<const PartRule>(kAnthropicParts) : kOpenAiParts;
  const auto found = std::ranges::find(all, type, &PartRule::type);
  return found == all.end() ? nullptr : &*found;
}

bool is_data_url(std::string_view text) { return starts_like(text, "data:"); }

bool is_base64(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '+' || c == '/' || c == '=';
  });
}

bool is_web_address(std::string_view text) {
  return starts_like(text, "http://") || starts_like(text, "https://");
}

std::string_view host_of(std::string_view address) {
  constexpr std::size_t kMaxHost = 255;
  const std::size_t scheme = address.find("://");
  if (scheme == std::string_view::npos) return {};
  std::string_view host = address.substr(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#\\"));
  host = host.substr(host.rfind('@') == std::string_view::npos ? 0 : host.rfind('@') + 1);
  return host.substr(0, kMaxHost);
}

}  // namespace oqto::gateway
