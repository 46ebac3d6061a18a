// What the agent did between two things it said. An older run of several steps is one line; open, each
// step is one line; open again, all of it.

import { useRef, useState } from "preact/hooks";
import { took } from "../state/clock";
import type { Run, Step } from "../state/timeline/plan";
import { Icon } from "../ui/icon";
import { memo } from "../ui/memo";
import { ToolCard } from "../ui/tool/tool_card";
import { Thinking } from "./entries";

const FEW = 3;

function Outcome({ run }: { run: Run }) {
  return (
    <span>
      {run.tools} steps
      {run.failed > 0 && <>, <span class="run-failed">{run.failed} failed</span></>}
      {run.stopped > 0 && `, ${run.stopped} stopped`}
      {run.ms > 0 && `, ${took(run.ms)}`}
    </span>
  );
}

interface RunProps {
  run: Run;
  // It is not the newest one.
  past: boolean;
  sessionId: string;
  onToggle: () => void;
}

export const RunView = memo(function RunView({ run, past, sessionId, onToggle }: RunProps) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  // What somebody has opened does not fold away under their eyes.
  const touched = useRef(false);
  const folds = past && run.tools >= FEW && !run.open && !touched.current;
  const open = chosen ?? !folds;
  const hold = useRef(() => {});
  hold.current = () => {
    touched.current = true;
    onToggle();
  };
  const steps = open && <Steps steps={run.steps} sessionId={sessionId} hold={hold.current} />;
  if (!folds && chosen === null) return <div class="run">{steps}</div>;
  const toggle = () => {
    onToggle();
    setChosen(!open);
  };
  return (
    <section class="run folded" aria-label="Steps" data-testid="run">
      <button type="button" class="run-line" aria-expanded={open} data-testid="run-toggle" onClick={toggle}>
        <span class={`turn ${open ? "open" : ""}`}><Icon name="right" size={14} /></span>
        <Outcome run={run} />
      </button>
      {steps}
    </section>
  );
});

function Steps({ steps, sessionId, hold }: { steps: Step[]; sessionId: string; hold: () => void }) {
  const stable = useRef(() => hold());
  return (
    <>
      {steps.map(({ key, block, live }) =>
        block.kind === "tool"
          ? <ToolCard key={key} tool={block.tool} sessionId={sessionId} onToggle={stable.current} />
          : <Thinking key={key} block={block} live={live} sessionId={sessionId} />)}
    </>
  );
}
