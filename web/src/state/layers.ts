// What lies open above the page, newest last. Escape closes the newest; nothing else listens for it.

import { useLayoutEffect } from "preact/hooks";

const open: (() => void)[] = [];

// As the page is drawn, not after: what can be seen can be closed.
export function useLayer(active: boolean, close: () => void): void {
  useLayoutEffect(() => {
    if (!active) return;
    open.push(close);
    return () => {
      const at = open.lastIndexOf(close);
      if (at >= 0) open.splice(at, 1);
    };
  }, [active]);
}

export function closeNewest(): boolean {
  const close = open.at(-1);
  close?.();
  return close !== undefined;
}

export function anyOpen(): boolean {
  return open.length > 0;
}
