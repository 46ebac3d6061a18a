// Stands where markdown-it expects linkify-it. The `linkify` option is off, so only construction
// is ever reached.
export class LinkifyIt {
  test(): boolean {
    return false;
  }
  match(): null {
    return null;
  }
  matchAtStart(): null {
    return null;
  }
}
