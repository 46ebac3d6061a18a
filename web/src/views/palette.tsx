import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Dialog } from "../ui/basics";
import { Icon } from "../ui/icon";
import { isComposing } from "../ui/ime";
import { actions, type Command } from "./commands";

// Every letter in order; runs and starts of words weigh more. `null` does not match.
function score(text: string, query: string): number | null {
  const hay = text.toLowerCase();
  let at = -1;
  let points = 0;
  for (const letter of query.toLowerCase()) {
    if (letter === " ") continue;
    const next = hay.indexOf(letter, at + 1);
    if (next < 0) return null;
    points += next === at + 1 ? 3 : /[\s:]/.test(hay[next - 1] ?? " ") ? 2 : 0;
    at = next;
  }
  return points - hay.length / 100;
}

const MOST = 50;

function matching(commands: Command[], query: string): Command[] {
  if (!query.trim()) return commands.slice(0, MOST);
  return commands
    .map((command) => ({ command, points: score(`${command.group}: ${command.name}`, query) }))
    .filter((m): m is { command: Command; points: number } => m.points !== null)
    .toSorted((a, b) => b.points - a.points)
    .slice(0, MOST)
    .map((m) => m.command);
}

export function Palette({ close }: { close: () => void }) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const all = useMemo(actions, []);
  const found = matching(all, query);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [at, query]);
  const run = (command: Command | undefined) => {
    if (!command) return;
    close();
    // After the dialog has given focus back, so that the action may place it.
    setTimeout(command.run);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((at + step + found.length) % Math.max(1, found.length));
    } else if (event.key === "Enter" && !isComposing(event)) {
      event.preventDefault();
      run(found[at]);
    }
  };
  return (
    <Dialog title="Command palette" close={close} class="palette" bare>
      <label class="palette-search">
        <Icon name="search" />
        <input
          autofocus
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={found[at] ? `palette-${at}` : undefined}
          aria-label="Search actions, sessions and workspaces"
          placeholder="Search actions, sessions and workspaces"
          data-testid="palette-input"
          value={query}
          onInput={(e) => {
            setQuery(e.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={onKey}
        />
        <kbd>Esc</kbd>
      </label>
      <ul id="palette-list" class="palette-list" role="listbox" aria-label="Actions" ref={list} data-testid="palette">
        {found.map((command, i) => (
          <li
            key={`${command.group}${command.name}${i}`}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === at}
            data-testid="palette-item"
            onPointerMove={() => setAt(i)}
            onClick={() => run(command)}
          >
            <span class="palette-group">{command.group}</span>
            <span class="palette-name">{command.name}</span>
            {command.keys && <kbd>{command.keys}</kbd>}
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="menu-note palette-none">Nothing is called that.</p>}
    </Dialog>
  );
}
