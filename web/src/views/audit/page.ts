// The auditor's page is a file of its own: nobody else has to load it.
import "../../styles/audit.css";
import "../../styles/audit_story.css";
import { auditGrew, checkNow, closeEntry, rows } from "../../state/audit";
import { readPlace } from "../../audit/place";
import { followPlace, leavePlace, view } from "../../state/audit_place";
import { forgetStories } from "../../state/audit_story";
import { startTrust as startBelieving } from "../../state/audit_trust";
import { show } from "./filters";

// What the address asks for is drawn before there is a connection.
export function startTrust(): Promise<void> {
  view.value = readPlace(location.hash).view;
  return startBelieving();
}

export { AuditScreen } from "./screen";
export { auditGrew };

export async function auditConnected(): Promise<void> {
  followPlace(show);
  show();
  await checkNow(); // seals may take a while; what is shown need not wait for them
}

export function left(): void {
  closeEntry();
  rows.value = [];
  forgetStories();
  leavePlace();
}
