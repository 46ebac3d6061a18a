import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { SessionState } from "../protocol/types";
import { useLayer } from "../state/layers";
import { toast } from "../state/store";
import { Icon, type IconName } from "./icon";

export const STATE_WORDS: Record<SessionState, string> = {
  idle: "ready",
  working: "working",
  waiting: "waiting for you",
  starting: "starting",
  stopped: "closed",
  asleep: "asleep",
  failed: "failed",
};

export function StateDot({ state, testid }: { state: SessionState; testid?: string }) {
  return (
    <span class="state" data-state={state}>
      <span class="dot" aria-hidden="true" />
      <span class="state-word" data-testid={testid}>
        {STATE_WORDS[state] ?? state}
      </span>
    </span>
  );
}

type ButtonProps = Omit<ButtonHTMLAttributes, "icon" | "label"> & {
  icon: IconName;
  label: string;
  testid?: string;
};

export function IconButton({ icon, label, testid, class: extra, ...rest }: ButtonProps) {
  return (
    <button type="button" class={`icon-button ${extra ?? ""}`} aria-label={label} title={label} data-testid={testid} {...rest}>
      <Icon name={icon} />
    </button>
  );
}

const COPIED_MS = 1_600;

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    toast("The browser did not allow copying. Select the text instead.", "error");
    return false;
  }
}

export function CopyButton({ text, label = "Copy" }: { text: () => string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (!(await copyText(text()))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <button type="button" class="quiet-button" onClick={copy}>
      <Icon name={copied ? "check" : "copy"} size={14} />
      <span aria-live="polite">{copied ? "Copied" : label}</span>
    </button>
  );
}

// A box under its button: for menus and explanations. Closes on Escape, on a click elsewhere and when
// focus leaves it.
export function Popover(props: {
  label: ComponentChildren;
  name: string;
  testid?: string;
  buttonClass?: string;
  align?: "start" | "end";
  up?: boolean;
  children: (close: () => void) => ComponentChildren;
  onOpen?: () => void;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    if (root.current?.contains(document.activeElement)) button.current?.focus();
  };
  useLayer(open, close);
  useEffect(() => {
    if (!open) return;
    props.onOpen?.();
    const first = root.current?.querySelector<HTMLElement>(".popover [aria-checked=true], .popover button, .popover a");
    first?.focus();
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, [open]);
  return (
    <div class="popover-root" ref={root} onKeyDown={(event) => open && moveFocus(event, root.current)}>
      <button
        type="button"
        ref={button}
        class={props.buttonClass ?? "quiet-button"}
        aria-expanded={open}
        title={props.name}
        data-testid={props.testid}
        onClick={() => setOpen(!open)}
      >
        <span class="sr">{props.name}</span>
        {props.label}
      </button>
      {open && (
        <div class={`popover align-${props.align ?? "start"} ${props.up ? "up" : ""}`} role="group" aria-label={props.name}>
          {props.children(close)}
        </div>
      )}
    </div>
  );
}

function moveFocus(event: KeyboardEvent, root: HTMLElement | null): void {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const items = [...(root?.querySelectorAll<HTMLElement>(".popover button:not(:disabled), .popover a") ?? [])];
  if (items.length === 0 || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  const at = items.indexOf(document.activeElement as HTMLElement);
  const step = event.key === "ArrowDown" ? 1 : -1;
  items[(at + step + items.length) % items.length]?.focus();
}

export function MenuItem(props: {
  children: ComponentChildren;
  hint?: string;
  danger?: boolean;
  checked?: boolean;
  disabled?: boolean;
  testid?: string;
  onClick: () => void;
}) {
  return (
    <button
      type="button"
      class={`menu-item ${props.danger ? "danger" : ""}`}
      aria-pressed={props.checked}
      disabled={props.disabled}
      data-testid={props.testid}
      onClick={props.onClick}
    >
      <span class="menu-label">{props.children}</span>
      {props.hint && <span class="menu-hint">{props.hint}</span>}
      {props.checked && <Icon name="check" size={14} />}
    </button>
  );
}

// A modal dialog. The browser keeps focus inside and gives it back afterwards.
export function Dialog(props: { title: string; close: () => void; children: ComponentChildren; class?: string; bare?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayer(true, props.close);
  // Before the next key: whoever types on at once types into the dialog.
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog ${props.class ?? ""}`}
      aria-label={props.title}
      onCancel={(event) => event.preventDefault()}
      onPointerDown={(event) => event.target === ref.current && props.close()}
    >
      <div class="dialog-body">
        {!props.bare && (
          <header class="dialog-head">
            <h2>{props.title}</h2>
            <IconButton icon="close" label="Close" onClick={props.close} />
          </header>
        )}
        {props.children}
      </div>
    </dialog>
  );
}

// Something slow: shown only once it has been slow for 200 ms.
export function Skeleton({ lines = 3 }: { lines?: number }) {
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} class="skeleton-line" />
      ))}
    </div>
  );
}

export function FormError({ text }: { text: string }) {
  return (
    <p class="form-error" role="alert" data-testid="form-error" hidden={!text}>
      {text && <Icon name="warning" />}
      {text && <span>{text}</span>}
    </p>
  );
}

export function Field(props: {
  label: string;
  hint?: ComponentChildren;
  children: (id: string, hintId: string) => ComponentChildren;
  name: string;
}) {
  const id = `field-${props.name}`;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children(id, `${id}-hint`)}
      {props.hint && (
        <p class="field-hint" id={`${id}-hint`}>
          {props.hint}
        </p>
      )}
    </div>
  );
}
