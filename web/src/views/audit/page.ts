// The auditor's page is a file of its own: nobody else has to load it.
import "../../styles/audit.css";

export { auditConnected, auditGrew, closeEntry, rows } from "../../state/audit";
export { startTrust } from "../../state/audit_trust";
export { AuditScreen } from "./screen";
