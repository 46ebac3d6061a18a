// The one mux, and the hooks by which state learns of it.

import { Mux } from "../net/mux";
import type { AgentEvent, Model, User } from "../protocol/types";
import { limits, readLimits } from "./limits";
import { link } from "./store";

export const hooks = {
  connected: (_user: User | undefined, _models: Model[] | undefined) => {},
  event: (_event: AgentEvent) => {},
  mayReconnect: async () => true,
};

export const mux = new Mux({
  onLink: (now) => {
    // A new attempt after a loss is still "lost" to the person who waits.
    if (now !== "connecting" || link.value !== "lost") link.value = now;
  },
  onConnected: (user, models, told) => {
    limits.value = readLimits(told);
    hooks.connected(user, models);
  },
  onEvent: (event) => hooks.event(event),
  mayReconnect: () => hooks.mayReconnect(),
});
