// This key belongs to the composing of a character. Safari tells the Enter that ends it after the end
// of the composition, with 229 as its code.
export function isComposing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229;
}
