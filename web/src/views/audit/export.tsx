import { useRef, useState } from "preact/hooks";
import { download, wiredFilter } from "../../state/audit";
import { mux } from "../../state/link";
import { messageOf } from "../../state/store";
import { Dialog, FormError } from "../../ui/basics";
import { Icon } from "../../ui/icon";

const MAX_ENTRIES = 100_000;
const MAX_BYTES = 128 * 1024 * 1024;

export function ExportButton() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="secondary wide" data-testid="export-open" onClick={() => setOpen(true)}><Icon name="down" size={14} /> Export…</button>
      {open && <ExportDialog close={() => setOpen(false)} />}
    </>
  );
}

function ExportDialog({ close }: { close: () => void }) {
  const [format, setFormat] = useState<"jsonl" | "ocsf">("jsonl");
  const [said, setSaid] = useState("");
  const [error, setError] = useState("");
  const running = useRef(false);
  const start = async () => {
    running.current = true;
    setError("");
    setSaid("Reading…");
    const parts: string[] = [];
    let count = 0;
    let bytes = 0;
    try {
      for (let from: number | null = 0; from !== null && running.current && count < MAX_ENTRIES && bytes < MAX_BYTES; ) {
        const got: { lines: string; count: number; next: number | null } = await mux.request("_system", "audit.export", { ...wiredFilter(), from, format });
        parts.push(got.lines);
        count += got.count;
        bytes += got.lines.length;
        from = got.next;
        setSaid(`${count.toLocaleString("en")} entries…`);
        if (from !== null && (count >= MAX_ENTRIES || bytes >= MAX_BYTES)) setError(`This is a part: it ends before entry ${from}. For all of a long log use oqto-audit export on a copy.`);
      }
      if (!running.current) return;
      download(`audit-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${format === "ocsf" ? "ocsf.jsonl" : "jsonl"}`, "application/x-ndjson", parts);
      setSaid(`${count.toLocaleString("en")} ${count === 1 ? "entry" : "entries"}, oldest first.`);
    } catch (failure) {
      setError(messageOf(failure));
      setSaid("");
    } finally {
      running.current = false;
    }
  };
  const leave = () => {
    running.current = false;
    close();
  };
  return (
    <Dialog title="Export" close={leave}>
      <p>What the filters show now, oldest first, one entry a line. The export is recorded in the log.</p>
      <div class="choices" role="radiogroup" aria-label="Format">
        <label class="choice"><input type="radio" name="format" checked={format === "jsonl"} onChange={() => setFormat("jsonl")} /> As it stands in the log</label>
        <label class="choice"><input type="radio" name="format" checked={format === "ocsf"} onChange={() => setFormat("ocsf")} /> OCSF events</label>
      </div>
      <FormError text={error} />
      <div class="dialog-actions">
        <span role="status" data-testid="export-said">{said}</span>
        <button type="button" class="primary" data-testid="export-start" disabled={running.current} onClick={() => void start()}>Export</button>
      </div>
    </Dialog>
  );
}
