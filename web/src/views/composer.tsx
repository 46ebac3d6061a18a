import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../state/conversation";
import { anyOpen } from "../state/layers";
import { attempt } from "../state/sessions";
import { tabStore } from "../state/storage";
import { link, modelOf, toast } from "../state/store";
import type { Image } from "../state/timeline/types";
import { IconButton } from "../ui/basics";
import { Icon } from "../ui/icon";
import { Picture } from "./entries";
import { useGivenBack } from "./waiting";

const PICTURE_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
// The host takes 12 MiB per message; base64 adds a third.
const MOST_PICTURE_BYTES = 8 * 1024 * 1024;
const MOST_TEXT_BYTES = 11 * 1024 * 1024;
const NO_PICTURES = "This model takes no pictures. Choose another one, or send text alone.";
const MOST_HEIGHT_PX = 260;

const pictures = new Map<string, Image[]>();
const coarse = matchMedia("(pointer: coarse)");

async function toImage(file: File): Promise<Image> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return { data: btoa(binary), mimeType: file.type };
}

export function Composer({ open }: { open: Conversation }) {
  const key = `draft.${open.id}`;
  const [text, setTextState] = useState(() => tabStore.get(key) ?? "");
  const [images, setImagesState] = useState<Image[]>(() => pictures.get(open.id) ?? []);
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const busy = open.timeline.value.status.state === "working" || open.timeline.value.status.state === "waiting";
  const stopping = open.stopping.value;

  const setText = (value: string) => {
    setTextState(value);
    tabStore.set(key, value);
  };
  const setImages = (value: Image[]) => {
    setImagesState(value);
    pictures.set(open.id, value);
  };

  useGivenBack(open, !text && images.length === 0, (given, pictures) => {
    const typed = area.current?.value;
    setText(typed ? `${given}\n\n${typed}` : given);
    setImages([...pictures, ...images]);
  });
  useEffect(() => {
    // A phone's keyboard should come when it is asked for.
    if (!coarse.matches && !anyOpen()) area.current?.focus();
  }, []);
  useLayoutEffect(() => {
    const el = area.current;
    if (!el) return;
    el.style.height = "auto";
    el.style.height = `${Math.min(el.scrollHeight, MOST_HEIGHT_PX)}px`;
  }, [text]);

  const send = (queue: "steer" | "follow_up" = "steer") => {
    if (!text.trim()) return images.length ? toast("Write a few words to go with the picture.") : undefined;
    if (images.length && blind()) return toast(NO_PICTURES);
    if (new Blob([text]).size > MOST_TEXT_BYTES) {
      return toast("This message is larger than the host accepts. Put it in a file of the workspace.", "error");
    }
    open.send(text, images, queue);
    setText("");
    setImages([]);
  };

  const blind = () => modelOf(open)?.images === false;

  const addFiles = async (files: Iterable<File>) => {
    const chosen = [...files].filter((f) => f.type.startsWith("image/"));
    if (chosen.length && blind()) return toast(NO_PICTURES);
    if (chosen.some((f) => !PICTURE_TYPES.includes(f.type))) toast("PNG, JPEG, GIF and WebP pictures can be sent.", "error");
    const usable = chosen.filter((f) => PICTURE_TYPES.includes(f.type));
    const used = images.reduce((sum, i) => sum + (i.data.length * 3) / 4, 0);
    if (used + usable.reduce((sum, f) => sum + f.size, 0) > MOST_PICTURE_BYTES) {
      return toast("Pictures may have 8 MB in all.", "error");
    }
    if (usable.length) setImages([...images, ...(await Promise.all(usable.map(toImage)))]);
  };

  const onPaste = (event: ClipboardEvent) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((f) => f.type.startsWith("image/"));
    if (files.length === 0) return;
    event.preventDefault();
    void addFiles(files);
  };

  const onKey = (event: KeyboardEvent) => {
    if (event.isComposing) return;
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
      <div
        class="composer"
        onDragOver={(e) => e.preventDefault()}
        onDrop={(e) => {
          e.preventDefault();
          void addFiles(e.dataTransfer?.files ?? []);
        }}
      >
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
          data-testid="composer"
          value={text}
          onInput={(e) => setText(e.currentTarget.value)}
          onPaste={onPaste}
          onKeyDown={onKey}
        />
        <div class="composer-bar">
          <input
            ref={picker} type="file" accept={PICTURE_TYPES.join(",")} multiple hidden
            onChange={(e) => {
              void addFiles(e.currentTarget.files ?? []);
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
            <button type="button" class="send" data-testid="send" aria-label={busy ? "Steer" : "Send"} disabled={!text.trim()} onClick={() => send()}>
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
