// What a model's side said, as a sentence: providers answer with JSON around it.

const WITH_STATUS = /^(?:(\d{3})[:\s]\s*)?(\{[\s\S]*\})$/;

export function readableFailure(text: string): string {
  const found = WITH_STATUS.exec(text.trim());
  if (!found) return text;
  try {
    const body = JSON.parse(found[2]!);
    const message: unknown = body.error?.message ?? body.message;
    if (typeof message !== "string" || !message) return text;
    return found[1] ? `${message} (status ${found[1]})` : message;
  } catch {
    return text;
  }
}
