// Sealing data in the browser, in the same bytes as `heldout data seal` (docs/decisions/0006): AES-256-GCM, X25519,
// HKDF-SHA256, HMAC-SHA256. Each key seals one plaintext, so the nonce is zero. Nothing here talks to anybody.

import { Bytes, base64url, bigEndian, compare, concat, hex, littleEndian, sha256, unhex, utf8 } from "../bytes";
import { Table, encode, row, rowsOf, take } from "./rows";
import { tr } from "../words";

const PREFIX = "heldout-lent-1.";
const UNIT = 1024;
const NONCE = new Uint8Array(12);

// ---------------------------------------------------------------------------------------------- borrowed keys

// What `heldout requester lend` says. `keys`: of the rows' order first, then one for each shard.
export interface Loan {
  address: string;
  wrapKey: Bytes;
  salt: Bytes;
  order: Bytes;
  keys: Bytes[];
}

export interface Asking {
  code: string;
  privateKey: CryptoKey;
}

// A key pair for one loan; the private key cannot be read by any script, this one included.
export async function ask(): Promise<Asking> {
  const pair = (await crypto.subtle.generateKey("X25519", false, ["deriveBits"])) as CryptoKeyPair;
  const code = hex(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
  return { code, privateKey: pair.privateKey };
}

export async function openLoan(asking: Asking, line: string): Promise<Loan> {
  const wrong = new Error(tr("This is not the line that `heldout requester lend` printed for this page's code."));
  const text = line.trim();
  if (!text.startsWith(PREFIX)) throw wrong;
  try {
    const base64 = text.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/");
    const told = JSON.parse(atob(base64));
    const [wrapKey, salt, envelope] = [told.wrap_key, told.salt, told.envelope].map((part: string) => unhex(part));
    const lent = await openEnvelope(asking, envelope, contextOf(String(told.address), wrapKey, salt));
    const keys = Array.from({ length: lent.length / 32 }, (_, i) => lent.slice(32 * i, 32 * (i + 1)));
    if (keys.length !== told.shards + 1 || wrapKey.length !== 32 || salt.length !== 32) throw wrong;
    return { address: told.address, wrapKey, salt, order: keys[0], keys: keys.slice(1) };
  } catch {
    throw wrong;
  }
}

// The same keys, for a keeper instead of this page: a line of the same kind, which opens with the keeper's key alone.
export async function handOver(loan: Loan, keeper: Bytes): Promise<string> {
  const { address, wrapKey, salt, order, keys } = loan;
  const envelope = await makeEnvelope(keeper, concat(order, ...keys), contextOf(address, wrapKey, salt));
  const [wrap_key, told, sealed] = [wrapKey, salt, envelope].map(hex);
  const line = JSON.stringify({ address, wrap_key, salt: told, shards: keys.length, envelope: sealed });
  return PREFIX + base64url(utf8(line));
}

function contextOf(address: string, wrapKey: Bytes, salt: Bytes): Bytes {
  const [gap, name] = [utf8("\0"), utf8(address.toLowerCase())];
  return concat(utf8("heldout/lent-keys/v1"), gap, name, gap, wrapKey, gap, salt);
}

async function makeEnvelope(receiver: Bytes, plain: Bytes, context: Bytes): Promise<Bytes> {
  const pair = (await crypto.subtle.generateKey("X25519", false, ["deriveBits"])) as CryptoKeyPair;
  const ephemeral = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const key = await envelopeKey(pair.privateKey, receiver, concat(ephemeral, receiver), "encrypt");
  const algorithm = { name: "AES-GCM", iv: NONCE, additionalData: context };
  return concat(ephemeral, new Uint8Array(await crypto.subtle.encrypt(algorithm, key, plain)));
}

async function openEnvelope(asking: Asking, envelope: Bytes, context: Bytes): Promise<Bytes> {
  const ephemeral = envelope.slice(0, 32);
  const key = await envelopeKey(asking.privateKey, ephemeral, concat(ephemeral, unhex(asking.code)), "decrypt");
  const algorithm = { name: "AES-GCM", iv: NONCE, additionalData: context };
  return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, envelope.slice(32)));
}

async function envelopeKey(mine: CryptoKey, theirs: Bytes, salt: Bytes, use: KeyUsage): Promise<CryptoKey> {
  const subtle = crypto.subtle;
  const other = await subtle.importKey("raw", theirs, "X25519", false, []);
  const shared = await subtle.deriveBits({ name: "X25519", public: other }, mine, 256);
  const material = await subtle.importKey("raw", shared, "HKDF", false, ["deriveKey"]);
  const how = { name: "HKDF", hash: "SHA-256", salt, info: utf8("heldout/envelope/key") };
  return subtle.deriveKey(how, material, { name: "AES-GCM", length: 256 }, false, [use]);
}

// ------------------------------------------------------------------------------------------------------ shards

export interface Sealed {
  root: Bytes;
  leaves: Bytes;
  shards: Bytes[];
  shardBytes: number;
  rows: number[];
}

// Rows whose x occurs before: a held-out row must not be in a training shard.
export async function repeated(table: Table): Promise<number[]> {
  const seen = new Set<string>();
  const again: number[] = [];
  for (let index = 0; index < rowsOf(table); index++) {
    const digest = hex(await sha256(row(table.x, index).slice()));
    if (seen.has(digest)) again.push(index);
    seen.add(digest);
  }
  return again;
}

export async function seal(table: Table, loan: Loan, dropped: number[] = []): Promise<Sealed> {
  const without = new Set(dropped);
  const rows = [...Array(rowsOf(table)).keys()].filter((index) => !without.has(index));
  const count = loan.keys.length;
  if (rows.length < count) throw new Error(tr`${rows.length} rows do not fill ${count} shards.`);
  const order = await inOrder(rows, loan.order);
  const bounds = Array.from({ length: count + 1 }, (_, i) => Math.floor((order.length * i) / count));
  const parts = loan.keys.map((_, i) => encode(take(table, order.slice(bounds[i], bounds[i + 1]))));
  const longest = Math.max(...parts.map((part) => part.length));
  const shardBytes = Math.ceil((longest + 8) / UNIT) * UNIT;
  const shards: Bytes[] = [];
  const leaves: Bytes[] = [];
  for (const [i, part] of parts.entries()) {
    const plain = new Uint8Array(shardBytes);
    plain.set(concat(littleEndian(part.length, 8), part));
    const key = await crypto.subtle.importKey("raw", loan.keys[i], "AES-GCM", false, ["encrypt"]);
    const algorithm = { name: "AES-GCM", iv: NONCE, additionalData: utf8("heldout/shard/v1") };
    const sealed = new Uint8Array(await crypto.subtle.encrypt(algorithm, key, plain));
    shards.push(sealed);
    leaves.push(await sha256(sealed), await sha256(concat(loan.keys[i], plain)));
  }
  const listed = concat(...leaves);
  const each = parts.map((_, i) => bounds[i + 1] - bounds[i]);
  return { root: await sha256(listed), leaves: listed, shards, shardBytes, rows: each };
}

async function inOrder(rows: number[], secret: Bytes): Promise<number[]> {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const tagged = await Promise.all(
    rows.map(async (index): Promise<[Uint8Array, number]> => {
      const message = concat(utf8("row"), bigEndian(8, 4), bigEndian(index, 8));
      return [new Uint8Array(await crypto.subtle.sign("HMAC", key, message)), index];
    }),
  );
  return tagged.sort(([a], [b]) => compare(a, b)).map(([, index]) => index);
}
