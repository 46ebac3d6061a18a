// The line that says that the connection is gone, and no more than is known: whether an agent still
// works cannot be seen from here.

import { useEffect, useState } from "preact/hooks";
import { link } from "../state/store";

const QUIET_MS = 800;

function useOffline(): boolean {
  const [offline, setOffline] = useState(!navigator.onLine);
  useEffect(() => {
    const look = () => setOffline(!navigator.onLine);
    addEventListener("online", look);
    addEventListener("offline", look);
    return () => {
      removeEventListener("online", look);
      removeEventListener("offline", look);
    };
  }, []);
  return offline;
}

// A blip that heals at once is not worth a word; the browser's own word is.
export function ReconnectBar() {
  const [late, setLate] = useState(false);
  const offline = useOffline();
  const lost = link.value === "lost";
  useEffect(() => {
    if (!lost) return setLate(false);
    const timer = setTimeout(() => setLate(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [lost]);
  if (!lost || !(late || offline)) return null;
  return (
    <div class="reconnect" role="status" data-testid="reconnect-bar">
      <span class="spinner" aria-hidden="true" />
      {offline ? "This device is offline." : "The host does not answer. Trying again…"} What you send is kept until the connection is back.
    </div>
  );
}
