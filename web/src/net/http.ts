import type { Invite, LoginEntry, OfferedProfile, Role, User } from "../protocol/types";

export class HttpError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfterS: number | undefined;
  constructor(status: number, code: string, message: string, retryAfterS?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

const TIMEOUT_MS = 30_000;

async function call<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new HttpError(0, "UNREACHABLE", "The host does not answer. Check that it runs, then try again.");
  }
  const text = await answer.text();
  let parsed: any = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    throw new HttpError(answer.status, "INTERNAL_ERROR", "The host gave an answer that is not JSON.");
  }
  if (answer.ok) return parsed as T;
  const message = typeof parsed?.error === "string" ? parsed.error : `The host answered ${answer.status}.`;
  throw new HttpError(answer.status, String(parsed?.code ?? ""), message, parsed?.retry_after_s);
}

export interface AuthState {
  setup_required: boolean;
  user: User | null;
  profiles?: OfferedProfile[];
}

export const http = {
  authState: () => call<AuthState>("GET", "/api/auth/state"),
  me: () => call<User>("GET", "/api/me"),
  setup: (token: string, username: string, password: string) =>
    call<{ user: User }>("POST", "/api/auth/setup", { token, username, password }),
  login: (username: string, password: string) =>
    call<{ user: User }>("POST", "/api/auth/login", { username, password }),
  register: (invite_code: string, username: string, password: string) =>
    call<{ user: User }>("POST", "/api/auth/register", { invite_code, username, password }),
  logout: () => call<null>("POST", "/api/auth/logout", {}),
  reset: (code: string, password: string) => call<{ user: User }>("POST", "/api/auth/reset", { code, password }),
  changePassword: (password: string, new_password: string, keep_others: boolean) =>
    call<{ ended: number }>("POST", "/api/auth/password", { password, new_password, keep_others }),
  logins: () => call<{ logins: LoginEntry[] }>("GET", "/api/auth/logins"),
  endLogins: (which: { id: number } | { others: true }) => call<{ ended: number }>("POST", "/api/auth/logins/end", which),
  invites: () => call<{ invites: Invite[] }>("GET", "/api/auth/invites"),
  createInvite: (role: Role, expires_hours: number) =>
    call<{ invite: Invite; code: string }>("POST", "/api/auth/invites", { role, expires_hours }),
  revokeInvite: (id: Invite["id"]) => call<null>("POST", "/api/auth/invites/revoke", { id }),
};
