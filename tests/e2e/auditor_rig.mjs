// A host on which a person had an agent run something, and then said what is made to deceive whoever reads it.
import { Host, Mux, Provider, toolTurns } from "./lib.mjs";

const HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\u202c \u001b]0;owned\u0007 \u2066zwj\u200b end";
export const PASSWORD = "correct horse battery";

export async function startAuditedHost() {
  const provider = await Provider.start({ turns: [{ text: "ready" }] });
  const host = await Host.start({ providerUrl: provider.url });
  const admin = await host.setup();
  const alice = await host.invite(admin, "alice");
  const mux = await Mux.open(host, alice);
  const ws = await mux.workspace();
  const session = await mux.session(ws);
  await provider.script({ turns: toolTurns("for i in 1 2 3; do /bin/echo deploying $i; done; /usr/bin/id") });
  await mux.turn(session, "deploy the blue version");
  await provider.script({ turns: [{ text: "no" }] });
  await mux.turn(session, HOSTILE);
  await mux.close();
  return { host, provider, admin, alice, ws, session };
}
