// What lies open above the page, newest last. Escape closes the newest; nothing else listens for it.

import { useEffect } from "preact/hooks";

const open: (() => void)[] = [];

export function useLayer(active: boolean, close: () => void): void {
  useEffect(() => {
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
