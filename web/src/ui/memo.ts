import { Component, type ComponentType, h, type VNode } from "preact";

// Draws again only if a property changed its identity: what makes a long conversation cheap.
export function memo<P extends object>(inner: ComponentType<P>): (props: P) => VNode {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const old = this.props as Record<string, unknown>;
      const fresh = next as Record<string, unknown>;
      const names = new Set([...Object.keys(old), ...Object.keys(fresh)]);
      return [...names].some((name) => old[name] !== fresh[name]);
    }
    override render() {
      return h(inner, this.props as P);
    }
  }
  return Memo as unknown as (props: P) => VNode;
}
