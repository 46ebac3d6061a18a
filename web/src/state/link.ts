// The one mux, and the hooks by which state learns of it.

import { Mux } from "../net/mux";
import type { AgentEvent, Connected, Push } from "../protocol/types";
import { link } from "./store";

export const hooks = {
  connected: (_told: Connected) => {},
  push: (_push: Push) => {},
  event: (_event: AgentEvent) => {},
  // A session that this page began is now the host's.
  made: (_id: string) => {},
  // Before this connection follows one more session.
  makeRoom: () => {},
  mayReconnect: async () => true,
};

export const mux = new Mux({
  onLink: (now) => {
    // A new attempt after a loss is still "lost" to the person who waits.
    if (now !== "connecting" || link.value !== "lost") link.value = now;
  },
  onConnected: (told) => hooks.connected(told),
  onPush: (push) => hooks.push(push),
  onEvent: (event) => hooks.event(event),
  mayReconnect: () => hooks.mayReconnect(),
});
