// What was said to a working agent and waits: above the composer, since it is no part of the conversation yet.

import { useEffect, useState } from "preact/hooks";
import { CommandError } from "../net/mux";
import { editWaiting, takeBack } from "../state/acts";
import type { Conversation } from "../state/conversation";
import { giveToComposer, handoffs, takeHandoff } from "../state/handoff";
import { attempt } from "../state/sessions";
import { link, toast } from "../state/store";
import type { Image, Waiting } from "../state/timeline/types";
import { isComposing } from "../ui/ime";

const WHEN = { steer: "The agent reads this after its current step.", follow_up: "The agent reads this when it is done." };

function gone(error: unknown): void {
  if (!(error instanceof CommandError) || error.code !== "not_found") throw error;
  toast("The agent has read it already.");
}

export function WaitingList({ open }: { open: Conversation }) {
  const items = open.timeline.value.queue;
  if (items.length === 0) return null;
  return (
    <ul class="waiting-list" aria-label="Messages that wait" data-testid="waiting-list">
      {items.map((item) => <WaitingItem key={item.key} item={item} open={open} />)}
    </ul>
  );
}

function WaitingItem({ item, open }: { item: Waiting; open: Conversation }) {
  const [edited, setEdited] = useState<string | null>(null);
  const unsent = item.state === "returned" || item.state === "failed";
  const remove = () => {
    if (item.id) attempt(takeBack(open.id, item.id).then(() => {}, gone));
    else if (item.clientId) open.forgetUnsent(item.clientId);
  };
  const intoComposer = async () => {
    const back = item.id ? await takeBack(open.id, item.id) : { text: item.text, images: item.images };
    if (!item.id && item.clientId) open.forgetUnsent(item.clientId);
    giveToComposer(open.id, back.text, back.images);
  };
  const save = (event: Event) => {
    event.preventDefault();
    const text = edited?.trim();
    if (!text || !item.id) return;
    setEdited(null);
    if (text !== item.text) attempt(editWaiting(open.id, item.id, text).catch(gone));
  };
  return (
    <li class={`waiting-item ${unsent ? "unsent" : ""}`} data-testid="waiting-item" data-state={item.state} data-delivery={item.delivery}>
      {edited === null ? (
        <p class="waiting-text">{item.text}</p>
      ) : (
        <form id={`edit-${item.key}`} onSubmit={save}>
          <textarea
            class="waiting-edit" aria-label="Edit the waiting message" data-testid="waiting-edit-text" rows={2} ref={focusIt} value={edited}
            onInput={(e) => setEdited(e.currentTarget.value)}
            onKeyDown={(e) => {
              if (e.key === "Escape") (e.preventDefault(), e.stopPropagation(), setEdited(null));
              else if (e.key === "Enter" && !e.shiftKey && !isComposing(e)) save(e);
            }}
          />
        </form>
      )}
      <div class="waiting-foot">
        <span class="waiting-when">
          {unsent ? <><strong>Not sent.</strong> {item.reason && sentence(item.reason)}</> : item.state === "sending" ? "Sending…" : WHEN[item.delivery]}
          {item.pictures > 0 && ` ${item.pictures} ${item.pictures === 1 ? "picture" : "pictures"}.`}
        </span>
        {edited !== null && <button class="quiet-button" form={`edit-${item.key}`} data-testid="waiting-save">Save</button>}
        {edited !== null && <button type="button" class="quiet-button" onClick={() => setEdited(null)}>Cancel</button>}
        {edited === null && item.state === "pending" && (
          <button type="button" class="quiet-button" data-testid="waiting-edit" onClick={() => setEdited(item.text)}>Edit</button>
        )}
        {edited === null && unsent && (
          <button type="button" class="quiet-button" data-testid="waiting-edit" onClick={() => attempt(intoComposer().catch(gone))}>Edit</button>
        )}
        {edited === null && item.state !== "sending" && (
          <button type="button" class="quiet-button" data-testid="waiting-remove" onClick={remove}>{unsent ? "Discard" : "Remove"}</button>
        )}
      </div>
    </li>
  );
}

function focusIt(area: HTMLTextAreaElement | null): void {
  if (area && document.activeElement !== area) area.focus();
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}

// What a stop or an error gave back stands in the composer of the page that sent it, if nothing else does.
// The newest goes there; the others keep their place in the list.
export function useGivenBack(open: Conversation, empty: boolean, put: (text: string, images: Image[]) => void): void {
  const given = handoffs.value.get(open.id);
  const back = returnedHere(open);
  const item = empty && !given && link.value === "open" ? back.at(-1) : undefined;
  useEffect(() => {
    const taken = takeHandoff(open.id);
    if (taken) put(taken.text, taken.images);
  }, [given]);
  useEffect(() => {
    if (!item?.id) return;
    for (const { id } of back) open.givenBack.add(id!);
    void takeBack(open.id, item.id).then((words) => {
      open.note.value = "Not sent: the agent stopped before it read this.";
      giveToComposer(open.id, words.text, words.images);
    }, () => {});
  }, [item?.id]);
  useEffect(() => {
    if (empty) open.note.value = "";
  }, [empty]);
}

function returnedHere(open: Conversation): Waiting[] {
  return open.timeline.value.queue
    .filter((i) => i.state === "returned" && i.id && !open.givenBack.has(i.id))
    .filter((i) => open.stoppedHere || (i.clientId !== undefined && open.sentHere.has(i.clientId)))
    .toSorted((a, b) => a.at - b.at);
}

export function ComposerNote({ open }: { open: Conversation }) {
  return open.note.value ? <p class="composer-note" role="status" data-testid="composer-note">{open.note.value}</p> : null;
}
