// Stands where markdown-it expects mdurl: the engine encodes addresses itself, and nobody asks for their
// parts. A whole address is its own only part.

interface Address {
  pathname: string;
}

// What is encoded already stays as it is; half a letter, which no address can have, too.
export function encode(text: string): string {
  return or(text, () => encodeURI(text).replace(/%25([0-9a-f]{2})/gi, "%$1"));
}

export function decode(text: string): string {
  return or(text, () => decodeURI(text));
}

function or(text: string, change: () => string): string {
  try {
    return change();
  } catch {
    return text;
  }
}
decode.defaultChars = "";

export const parse = (pathname: string): Address => ({ pathname });
export const format = (address: Address): string => address.pathname;
