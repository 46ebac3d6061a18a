// Blocks of one assistant message: built from deltas, then replaced by the message that ends them.

import type { Cut, Message, Part } from "../../protocol/types";
import type { AssistantEntry, Block, Image, Tool, ToolResult } from "./types";

export function asText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) {
    const texts = value.filter((v) => v && typeof v === "object" && typeof v.text === "string");
    if (texts.length === value.length) return texts.map((v) => v.text as string).join("\n");
  }
  if (typeof value === "object" && "content" in value) return asText(value.content);
  return JSON.stringify(value, null, 2);
}

export function newTool(id: string, name: string): Tool {
  return { id, name, input: undefined, argsText: "", state: "writing", output: "" };
}

export function cutOf(message: Message, part: Part | undefined): Cut | undefined {
  if (!part || !("cut" in part) || !part.cut) return undefined;
  return { messageId: message.id, partId: part.id, bytes: part.cut.bytes };
}

function closeThinking(blocks: Block[], except: number, ts: number): Block[] {
  if (!blocks.some((b) => b.kind === "thinking" && b.index !== except && b.endedAt === undefined)) return blocks;
  return blocks.map((b) =>
    b.kind === "thinking" && b.index !== except && b.endedAt === undefined ? { ...b, endedAt: ts } : b,
  );
}

// Replaces the block with this index and kind, or adds what `make` gives, in order of index.
export function putBlock<K extends Block["kind"]>(
  blocks: Block[],
  kind: K,
  index: number,
  ts: number,
  change: (old: Extract<Block, { kind: K }> | undefined) => Extract<Block, { kind: K }>,
): Block[] {
  const closed = closeThinking(blocks, kind === "thinking" ? index : -1, ts);
  const at = closed.findIndex((b) => b.kind === kind && b.index === index);
  const next = change(at >= 0 ? (closed[at] as Extract<Block, { kind: K }>) : undefined);
  if (at >= 0) return closed.with(at, next);
  const after = closed.findIndex((b) => b.index > index);
  return after >= 0 ? closed.toSpliced(after, 0, next) : [...closed, next];
}

// The agent reports a tool that was stopped as one that failed, with these words at its end.
const STOPPED = /(?:^|\n)(?:Command|Operation) aborted\s*$/;

export function applyResult(tool: Tool, result: ToolResult): Tool {
  const stopped = result.isError && STOPPED.test(result.output);
  return {
    ...tool,
    state: stopped ? "stopped" : result.isError ? "failed" : "done",
    output: result.output || tool.output,
    durationMs: result.durationMs ?? tool.durationMs,
    cut: result.cut ?? tool.cut,
  };
}

export function resultOf(message: Message): [string, ToolResult] | undefined {
  const part = message.parts.find((p): p is Extract<Part, { type: "tool_result" }> => p.type === "tool_result");
  const id = part?.toolCallId ?? message.tool_call_id;
  if (!id) return undefined;
  const text = message.parts.filter((p) => p.type === "text").map((p) => p.text).join("\n");
  return [
    id,
    {
      output: part ? asText(part.output) : text,
      isError: part?.isError ?? message.is_error ?? false,
      durationMs: part?.durationMs,
      cut: cutOf(message, part),
    },
  ];
}

function toolFromPart(
  message: Message, part: Extract<Part, { type: "tool_call" }>, old: Tool | undefined, orphan?: ToolResult,
): Tool {
  const base: Tool = old ?? newTool(part.toolCallId, part.name);
  // The stream may have told all of what the message holds a beginning of.
  const streamed = part.cut && !base.inputCut && base.input !== undefined;
  const known: Tool = {
    ...base,
    name: part.name,
    input: streamed ? base.input : part.input,
    inputCut: streamed ? undefined : cutOf(message, part),
    argsText: "",
    state: base.state === "writing" ? "waiting" : base.state,
  };
  return orphan ? applyResult(known, orphan) : known;
}

// The blocks a finished message has; what only the stream knew (run times, tool output) is kept.
export function blocksOf(
  message: Message,
  old: AssistantEntry | undefined,
  orphans: Record<string, ToolResult>,
): Block[] {
  const tools = new Map<string, Tool>();
  const thoughts: Extract<Block, { kind: "thinking" }>[] = [];
  for (const block of old?.blocks ?? []) {
    if (block.kind === "tool") tools.set(block.tool.id, block.tool);
    if (block.kind === "thinking") thoughts.push(block);
  }
  const blocks: Block[] = [];
  message.parts.forEach((part, index) => {
    if (part.type === "text" && part.text) blocks.push({ kind: "text", index, text: part.text, cut: cutOf(message, part) });
    if (part.type === "thinking") {
      const seen = thoughts.shift();
      blocks.push({ kind: "thinking", index, text: part.text, startedAt: seen?.startedAt, endedAt: seen?.endedAt, cut: cutOf(message, part) });
    }
    if (part.type === "tool_call") {
      const tool = toolFromPart(message, part, tools.get(part.toolCallId), orphans[part.toolCallId]);
      blocks.push({ kind: "tool", index, tool });
    }
  });
  return blocks;
}

export function userText(message: Message): string {
  return message.parts.filter((p) => p.type === "text").map((p) => p.text).join("\n");
}

export function userImages(message: Message): Image[] {
  return message.parts
    .filter((p) => p.type === "image")
    .map((p) => ({ data: p.data, mimeType: p.mimeType }));
}
