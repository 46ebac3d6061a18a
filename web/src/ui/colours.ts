// What gives code and output their colours, in a script of its own: nothing needs it at first.

export { highlight } from "./markdown/highlight";
export { renderTerminal } from "./tool/terminal";
