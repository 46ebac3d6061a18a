import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { drafts } from "../state/drafts";
import { anyOpen } from "../state/layers";
import { bytesNear, limits } from "../state/limits";
import { sizeText } from "../state/part";
import { attempt } from "../state/sessions";
import { link, modelOf, toast } from "../state/store";
import type { Image } from "../state/timeline/types";
import { IconButton } from "../ui/basics";
import { Icon } from "../ui/icon";
import { isComposing } from "../ui/ime";
import { appended, fenced, type Offer, offerOf, pasted, PICTURE_TYPES, toImage } from "./attach";
import { Picture } from "./entries";
import { Offers } from "./offers";
import { useGivenBack } from "./waiting";

const NO_PICTURES = "This model takes no pictures. Choose another one, or send text alone.";
const MOST_HEIGHT_PX = 260;

const coarse = matchMedia("(pointer: coarse)");

export function Composer({ open }: { open: Conversation }) {
  const [text, setTextState] = useState(() => drafts.get(open.id));
  const [images, setImagesState] = useState<Image[]>(() => drafts.pictures.get(open.id) ?? []);
  const [offers, setOffers] = useState<Offer[]>([]);
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const busy = open.timeline.value.status.state === "working" || open.timeline.value.status.state === "waiting";
  const stopping = open.stopping.value;

  const setText = (value: string) => {
    setTextState(value);
    drafts.set(open.id, value);
  };
  const setImages = (value: Image[]) => {
    setImagesState(value);
    drafts.pictures.set(open.id, value);
  };
  const most = limits.value.prompt_bytes;
  const bytes = useMemo(() => bytesNear(text, most), [text, most]);
  const tooLong = bytes > most;
  // As it is when a file has been read, not as it was when that began.
  const now = useRef({ text, images });
  now.current = { text, images };

  useGivenBack(open, !text && images.length === 0, (given, pictures) => {
    const typed = area.current?.value;
    setText(typed ? `${given}\n\n${typed}` : given);
    setImages([...pictures, ...images]);
  });
  useEffect(() => {
    // A phone's keyboard should come when it is asked for.
    if (!coarse.matches && !anyOpen()) area.current?.focus();
  }, []);
  useEffect(() => drafts.watch(open.id, setTextState), [open.id]);
  useLayoutEffect(() => {
    const el = area.current;
    if (!el) return;
    el.style.height = "auto";
    el.style.height = `${Math.min(el.scrollHeight, MOST_HEIGHT_PX)}px`;
  }, [text]);

  const send = (queue: "steer" | "follow_up" = "steer") => {
    if (!text.trim()) return images.length ? toast("Write a few words to go with the picture.") : undefined;
    if (images.length && blind()) return toast(NO_PICTURES);
    if (tooLong) return area.current?.focus();
    open.send(text, images, queue);
    setText("");
    setImages([]);
  };

  const blind = () => modelOf(open)?.images === false;

  const addPictures = async (files: File[]) => {
    if (files.length === 0) return;
    if (blind()) return toast(NO_PICTURES);
    const added = await Promise.all(files.map(toImage));
    const all = [...now.current.images, ...added];
    const size = all.reduce((sum, i) => sum + i.data.length, 0);
    const { images: count, images_bytes: room } = limits.value;
    if (all.length > count) return toast(`A message may have ${count} pictures. These were not added.`, "error");
    // Base64 adds a third to what a file has.
    if (size > room) return toast(`The pictures of a message may have ${sizeText(room * 0.75)} in all. These were not added.`, "error");
    setImages(all);
  };

  const addFiles = async (files: File[]) => {
    await addPictures(files.filter((f) => PICTURE_TYPES.includes(f.type)));
    const others = await Promise.all(files.filter((f) => !PICTURE_TYPES.includes(f.type)).map(offerOf));
    setOffers((before) => [...before, ...others]);
  };

  const leave = (offer: Offer) => {
    setOffers((before) => before.filter((o) => o !== offer));
    area.current?.focus();
  };
  const take = (offer: Offer) => {
    leave(offer);
    if (offer.kind === "text") setText(appended(now.current.text, fenced(offer.name, offer.text)));
    if (offer.kind === "picture") void addPictures(offer.files);
  };

  const onPaste = (event: ClipboardEvent) => {
    if (!event.clipboardData?.files.length) return;
    const { files, hasWords } = pasted(event.clipboardData);
    if (!hasWords) {
      event.preventDefault();
      return void addFiles(files);
    }
    // The words go in by themselves; office programs add a picture of them.
    const shots = files.filter((f) => PICTURE_TYPES.includes(f.type));
    if (shots.length) setOffers((before) => [...before, { kind: "picture", files: shots }]);
    void addFiles(files.filter((f) => !shots.includes(f)));
  };

  // Anywhere on the page: a file that misses the composer would replace the page.
  useEffect(() => {
    const dragged = (event: DragEvent) => event.dataTransfer?.types.includes("Files");
    const over = (event: DragEvent) => dragged(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      if (!dragged(event)) return;
      event.preventDefault();
      void addFiles([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener("dragover", over);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("drop", drop);
    };
  }, []);

  const onKey = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !coarse.matches) {
      event.preventDefault();
      send(event.altKey ? "follow_up" : "steer");
    } else if (event.key === "Escape" && busy && !anyOpen()) {
      event.preventDefault();
      attempt(open.stop());
    } else if (event.key === "ArrowUp" && text === "") {
      const last = open.lastUser();
      if (!last) return;
      event.preventDefault();
      setText(last.text);
    }
  };

  const stats = open.stats.value;
  return (
    <div class="composer-wrap">
      <div class="composer">
        <Offers offers={offers} take={take} leave={leave} />
        {images.length > 0 && (
          <div class="pictures">
            {images.map((image, i) => (
              <span class="picture-slot" key={i}>
                <Picture image={image} />
                <IconButton icon="close" label="Remove this picture" onClick={() => setImages(images.toSpliced(i, 1))} />
              </span>
            ))}
          </div>
        )}
        <textarea
          id="composer-text"
          ref={area}
          rows={1}
          aria-label="Message to the agent"
          placeholder={busy ? "Steer the agent…" : "Ask for something…"}
          dir="auto"
          data-testid="composer"
          value={text}
          onInput={(e) => setText(e.currentTarget.value)}
          onPaste={onPaste}
          onKeyDown={onKey}
        />
        {bytes > 0 && (
          <p class={`composer-limit ${tooLong ? "over" : ""}`} role="status" data-testid="composer-limit">
            {tooLong
              ? `Too long by ${sizeText(bytes - most)}: a message may have ${sizeText(most)}. Send it in parts, or name a file of the workspace that has it.`
              : `${sizeText(bytes)} of the ${sizeText(most)} that a message may have.`}
          </p>
        )}
        <div class="composer-bar">
          <input
            ref={picker} type="file" accept={PICTURE_TYPES.join(",")} multiple hidden
            onChange={(e) => {
              void addFiles([...(e.currentTarget.files ?? [])]);
              e.currentTarget.value = "";
            }}
          />
          <IconButton icon="image" label="Add a picture" onClick={() => picker.current?.click()} />
          <span class="composer-hint">
            {link.value === "lost" ? "Sent when the connection is back" : busy ? "Enter steers · Alt Enter queues" : "Enter sends · Shift Enter new line"}
          </span>
          {stats && stats.tokens.total > 0 && (
            <span class="stats" data-testid="stats" title={`${stats.tokens.input} in, ${stats.tokens.output} out, ${stats.calls} model calls`}>
              {compact(stats.tokens.total)} tokens{stats.cost > 0 ? ` · $${stats.cost.toFixed(stats.cost < 1 ? 3 : 2)}` : ""}
            </span>
          )}
          {busy && (
            <button type="button" class="stop" data-testid="stop" disabled={stopping} onClick={() => attempt(open.stop())}>
              <Icon name="stop" size={14} /> {stopping ? "Stopping…" : "Stop"}
            </button>
          )}
          {(!busy || text.trim()) && (
            <button type="button" class="send" data-testid="send" aria-label={busy ? "Steer" : "Send"} disabled={!text.trim() || tooLong} onClick={() => send()}>
              <Icon name="send" />
            </button>
          )}
        </div>
      </div>
    </div>
  );
}

function compact(n: number): string {
  return n < 1_000 ? String(n) : n < 100_000 ? `${(n / 1_000).toFixed(1)}k` : `${Math.round(n / 1_000)}k`;
}
