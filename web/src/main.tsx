import { render } from "preact";
import { boot } from "./state/app";
import { auditorFailure, auditorPage } from "./state/auditor";
import { screen } from "./state/store";
import "./state/theme";
import { Skeleton } from "./ui/basics";
import { Login, Register, Reset, Setup, Unreachable } from "./views/auth";
import { listenForKeys } from "./views/keyboard";
import { Shell, Toasts } from "./views/shell";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/shell.css";
import "./styles/conversation.css";
import "./styles/attention.css";
import "./styles/tools.css";
import "./styles/prose.css";

function Screen() {
  switch (screen.value) {
    case "loading":
      return <div class="nothing"><Skeleton lines={3} /></div>;
    case "unreachable":
      return <Unreachable />;
    case "setup":
      return <Setup />;
    case "login":
      return <Login />;
    case "register":
      return <Register />;
    case "reset":
      return <Reset />;
    case "auditor": {
      const Page = auditorPage.value?.AuditScreen;
      if (Page) return <Page />;
      return <div class="nothing">{auditorFailure.value ? <p role="alert">{auditorFailure.value}</p> : <Skeleton lines={3} />}</div>;
    }
    case "shell":
      return <Shell />;
  }
}

function App() {
  return (
    <>
      <Screen />
      <Toasts />
    </>
  );
}

listenForKeys();
render(<App />, document.getElementById("app")!);
void boot();
