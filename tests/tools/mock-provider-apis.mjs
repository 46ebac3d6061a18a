// What mock-provider.mjs reads out of a request, and how the two API shapes say an answer.

// ---------------------------------------------------------------- reading requests

function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((b) => (typeof b === "string" ? b : b.type === "tool_result" ? textOf(b.content) : (b.text ?? "")))
    .join("");
}
const isToolMessage = (m) =>
  m.role === "tool" || (Array.isArray(m.content) && m.content.some((b) => b?.type === "tool_result"));

/** What the rules and the {{…}} templates look at, for either API shape. */
export function summarise(body) {
  const messages = Array.isArray(body?.messages) ? body.messages : [];
  const last = messages.at(-1);
  const asked = messages.findLastIndex((m) => m.role === "user" && !isToolMessage(m));
  return {
    answered: messages.slice(asked + 1).filter((m) => m.role === "assistant").length,
    lastRole: last ? (isToolMessage(last) ? "tool" : last.role) : "",
    lastUser: textOf(messages[asked]?.content),
    lastTool: textOf(messages.findLast(isToolMessage)?.content),
  };
}

/** The answer that the last user message itself asks for: `@do [TURN, …]` to the end of its text, the
 * n-th turn after n answers. So a prompt says what becomes of it, whatever is retried or killed. */
export function directive(ctx) {
  const at = ctx.lastUser.lastIndexOf("@do ");
  if (at < 0) return undefined;
  try {
    const turns = JSON.parse(ctx.lastUser.slice(at + 4));
    return turns[Math.min(ctx.answered, turns.length - 1)];
  } catch {
    return undefined; // quoted in some other text, such as what is to be summarised
  }
}

// ---------------------------------------------------------------- what is answered

function fill(value, ctx) {
  if (typeof value !== "string") return value;
  return value
    .replaceAll("{{n}}", String(ctx.number))
    .replaceAll("{{lastUser}}", ctx.lastUser)
    .replaceAll("{{lastTool}}", ctx.lastTool);
}

/** `size` characters at a time. A delta never splits a surrogate pair, unless the turn asks for it. */
function* pieces(text, size, split) {
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + size, text.length);
    if (!split && to < text.length && /[\ud800-\udbff]/.test(text[to - 1])) to++;
    yield text.slice(from, to);
    from = to;
  }
}

/** A turn as plain data: what is to be said, whichever API says it. */
export function plan(turn, ctx) {
  const text = turn.text === undefined ? "" : fill(turn.text, ctx).repeat(turn.repeatText ?? 1);
  const thinking = turn.thinking ? fill(turn.thinking, ctx) : "";
  const toolCalls = (turn.toolCalls ?? []).map((c, i) => ({
    id: c.id ?? `call_${ctx.number}_${i + 1}`,
    name: c.name,
    json: fill(typeof c.arguments === "string" ? c.arguments : JSON.stringify(c.arguments ?? {}), ctx),
  }));
  const words = (s) => Math.max(1, Math.ceil(s.length / 4));
  const usage = {
    input: turn.usage?.input ?? words(ctx.raw),
    output: turn.usage?.output ?? words(text + thinking + toolCalls.map((c) => c.json).join("")),
    cacheRead: turn.usage?.cacheRead ?? 0,
    cacheWrite: turn.usage?.cacheWrite ?? 0,
  };
  const finish = turn.finish ?? (toolCalls.length ? "tool_calls" : "stop");
  return { text, thinking, toolCalls, usage, finish, splitPairs: turn.splitPairs };
}

// ---------------------------------------------------------------- the two API shapes
//
// Each is { frames(): yields [kind, sseText], whole(): the non-streamed JSON, error(): its error JSON },
// where kind is "delta" (a piece of the answer), "end" (a closing frame) or "other".

export const openai = {
  *frames(p, ctx, size) {
    const base = { id: `chatcmpl-mock-${ctx.number}`, object: "chat.completion.chunk", created: ctx.created, model: ctx.model };
    const frame = (delta, finish_reason = null) =>
      `data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
    yield ["other", frame({ role: "assistant", content: "" })];
    for (const s of pieces(p.thinking, size, p.splitPairs)) yield ["delta", frame({ reasoning_content: s })];
    for (const s of pieces(p.text, size, p.splitPairs)) yield ["delta", frame({ content: s })];
    for (const [index, c] of p.toolCalls.entries()) {
      yield ["delta", frame({ tool_calls: [{ index, id: c.id, type: "function", function: { name: c.name, arguments: "" } }] })];
      for (const s of pieces(c.json, size, p.splitPairs)) yield ["delta", frame({ tool_calls: [{ index, function: { arguments: s } }] })];
    }
    yield ["end", frame({}, p.finish)];
    yield ["end", `data: ${JSON.stringify({ ...base, choices: [], usage: this.usage(p.usage) })}\n\n`];
    yield ["end", "data: [DONE]\n\n"];
  },
  usage: (u) => ({
    prompt_tokens: u.input + u.cacheRead + u.cacheWrite,
    completion_tokens: u.output,
    total_tokens: u.input + u.cacheRead + u.cacheWrite + u.output,
    prompt_tokens_details: { cached_tokens: u.cacheRead },
  }),
  whole(p, ctx) {
    const message = { role: "assistant", content: p.text || null };
    if (p.thinking) message.reasoning_content = p.thinking;
    if (p.toolCalls.length) {
      message.tool_calls = p.toolCalls.map((c) => ({ id: c.id, type: "function", function: { name: c.name, arguments: c.json } }));
    }
    return {
      id: `chatcmpl-mock-${ctx.number}`, object: "chat.completion", created: ctx.created, model: ctx.model,
      choices: [{ index: 0, message, finish_reason: p.finish }], usage: this.usage(p.usage),
    };
  },
  error: (e) => ({ error: { message: e.message, type: e.type, code: e.code ?? null } }),
  errorFrame(e) { return `data: ${JSON.stringify(this.error(e))}\n\n`; },
};

const STOP_REASON = { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use" };
export const anthropic = {
  *frames(p, ctx, size) {
    const ev = (type, data) => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
    const usage = this.usage(p.usage);
    yield ["other", ev("message_start", {
      message: { id: `msg_mock_${ctx.number}`, type: "message", role: "assistant", model: ctx.model, content: [],
        stop_reason: null, stop_sequence: null, usage: { ...usage, output_tokens: 1 } },
    })];
    let index = 0;
    if (p.thinking) {
      yield ["other", ev("content_block_start", { index, content_block: { type: "thinking", thinking: "", signature: "" } })];
      for (const s of pieces(p.thinking, size, p.splitPairs)) yield ["delta", ev("content_block_delta", { index, delta: { type: "thinking_delta", thinking: s } })];
      yield ["other", ev("content_block_delta", { index, delta: { type: "signature_delta", signature: "bW9jaw==" } })];
      yield ["other", ev("content_block_stop", { index: index++ })];
    }
    if (p.text) {
      yield ["other", ev("content_block_start", { index, content_block: { type: "text", text: "" } })];
      for (const s of pieces(p.text, size, p.splitPairs)) yield ["delta", ev("content_block_delta", { index, delta: { type: "text_delta", text: s } })];
      yield ["other", ev("content_block_stop", { index: index++ })];
    }
    for (const c of p.toolCalls) {
      yield ["delta", ev("content_block_start", { index, content_block: { type: "tool_use", id: c.id, name: c.name, input: {} } })];
      for (const s of pieces(c.json, size, p.splitPairs)) yield ["delta", ev("content_block_delta", { index, delta: { type: "input_json_delta", partial_json: s } })];
      yield ["other", ev("content_block_stop", { index: index++ })];
    }
    yield ["end", ev("message_delta", { delta: { stop_reason: STOP_REASON[p.finish] ?? p.finish, stop_sequence: null }, usage })];
    yield ["end", ev("message_stop", {})];
  },
  usage: (u) => ({
    input_tokens: u.input, output_tokens: u.output,
    cache_read_input_tokens: u.cacheRead, cache_creation_input_tokens: u.cacheWrite,
  }),
  whole(p, ctx) {
    const content = [];
    if (p.thinking) content.push({ type: "thinking", thinking: p.thinking, signature: "bW9jaw==" });
    if (p.text) content.push({ type: "text", text: p.text });
    for (const c of p.toolCalls) content.push({ type: "tool_use", id: c.id, name: c.name, input: JSON.parse(c.json) });
    return {
      id: `msg_mock_${ctx.number}`, type: "message", role: "assistant", model: ctx.model, content,
      stop_reason: STOP_REASON[p.finish] ?? p.finish, stop_sequence: null, usage: this.usage(p.usage),
    };
  },
  error: (e) => ({ type: "error", error: { type: e.type, message: e.message } }),
  errorFrame(e) { return `event: error\ndata: ${JSON.stringify(this.error(e))}\n\n`; },
};
