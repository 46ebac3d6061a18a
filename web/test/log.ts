// Trees and signatures, made from the definitions of RFC 6962 and C2SP signed-note by other code than
// checks them.
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { toHex } from "../src/audit/verify";

export const sha = (...parts: Uint8Array[]) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};
export const leaf = (entry: Uint8Array) => sha(Uint8Array.of(0), entry);
const split = (n: number) => 2 ** Math.floor(Math.log2(n - 1));
export function root(leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return sha(Uint8Array.of(1), root(leaves.slice(0, k)), root(leaves.slice(k)));
}
export function path(m: number, leaves: Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k ? [...path(m, leaves.slice(0, k)), root(leaves.slice(k))] : [...path(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}
function subproof(m: number, leaves: Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [root(leaves)];
  const k = split(leaves.length);
  return m <= k ? [...subproof(m, leaves.slice(0, k), whole), root(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), root(leaves.slice(0, k))];
}
export const prefix = (m: number, leaves: Uint8Array[]) => (m === 0 ? [] : subproof(m, leaves, true));

export function signer(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ type: "spki", format: "der" }).subarray(-32));
  const typed = Buffer.concat([Uint8Array.of(1), raw]);
  const id = sha(Buffer.from(`${name}\n`), typed).slice(0, 4);
  return {
    vkey: `${name}+${toHex(id)}+${typed.toString("base64")}`,
    line: (body: string, as = name) => `\u2014 ${as} ${Buffer.concat([id, sign(null, Buffer.from(body), privateKey)]).toString("base64")}\n`,
  };
}
