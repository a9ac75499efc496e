// Reads tests/vectors/sealing.json, seals the same data with the page's own code, and prints what came out.
import { readFileSync } from "node:fs";
import { hex, unhex } from "../../market/service/web/bytes";
import { join, read } from "../../market/service/web/wizard/rows";
import { handOver, openLoan, repeated, seal } from "../../market/service/web/wizard/sealing";

const PKCS8 = "302e020100300506032b656e04220420"; // RFC 8410: before the 32 bytes of a private key

for (const { page_private, page_public, line, files, keeper } of JSON.parse(readFileSync(process.argv[2], "utf8")).cases) {
  const bytes = unhex(PKCS8 + page_private.slice(2));
  const privateKey = await crypto.subtle.importKey("pkcs8", bytes, "X25519", false, ["deriveBits"]);
  const loan = await openLoan({ code: page_public.slice(2), privateKey }, line);
  const table = join(files.map((file: string) => read(unhex(file))));
  const sealed = await seal(table, loan, await repeated(table));
  const { root, leaves, shards, shardBytes, rows } = sealed;
  const told = { root: hex(root), leaves: hex(leaves), shards: shards.map(hex), shard_bytes: shardBytes, rows };
  console.log(JSON.stringify({ address: loan.address, salt: hex(loan.salt), ...told, handed: keeper && (await handOver(loan, unhex(keeper))) }));
}
