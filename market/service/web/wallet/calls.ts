// Calls, and what they say when they are read back from the bytes that will be sent: never from what was meant.

import { decodeFunctionData, encodeFunctionData, type Abi, type Hex } from "viem";
import { MARKET, TOKEN, tokens, type Network } from "./chain";
import { tr } from "../words";

export interface Call {
  to: Hex;
  data: Hex;
}

const encode = (abi: Abi, functionName: string, args: unknown[]) => encodeFunctionData({ abi, functionName, args });

export const onMarket = (network: Network, name: string, ...args: unknown[]): Call => ({
  to: network.market,
  data: encode(MARKET, name, args),
});

export const approve = (network: Network, amount: bigint): Call => ({
  to: network.token,
  data: encode(TOKEN, "approve", [network.market, amount]),
});

// The API's terms (decimal text, names) as the contract's struct.
export function termsOf(shown: Record<string, any>): Record<string, any> {
  const post = MARKET.find((item) => item.type === "function" && item.name === "post") as any;
  const read = (kind: string, value: any) => (kind.startsWith("uint") ? BigInt(value) : value);
  const struct = (parts: any[], value: any): any =>
    Object.fromEntries(
      parts.map((part) => [
        part.name,
        part.type === "tuple[]"
          ? value[part.name].map((each: any) => struct(part.components, each))
          : read(part.type, value[part.name]),
      ]),
    );
  return struct(post.inputs[0].components, shown);
}

const SAYS: Record<string, string> = {
  approve: tr("Let the market take exactly this many tokens"),
  deposit: tr("Move tokens into your free balance on the market"),
  depositWithPermit: tr("Move tokens into your free balance, with the permit you signed"),
  withdraw: tr("Move free balance out of the market"),
  post: tr("Escrow the price, the fees and your bond, and offer the job"),
  accept: tr("Bind these bids; their providers' collateral and yours are locked"),
  cancel: tr("Take the job back; the whole escrow returns to your free balance"),
  answer: tr("Show that the keys were delivered: their envelopes go on chain, sealed"),
  appeal: tr("Lock an appeal bond and call a bigger committee"),
  expire: tr("End a job that nobody was accepted for"),
  close: tr("End a stage whose deadline has passed"),
  pin: tr("Draw the committee's seed anew"),
  settle: tr("Pay everybody as the scores say"),
  stake: tr("Lock the stake of new seats"),
  exit: tr("Stop being drawn; the stake stays at risk until the delay is over"),
  unstake: tr("Take the stake of a seat that has left"),
};
const AMOUNTS = new Set(["amount", "value", "priceCap", "price", "fee", "bond", "collateral"]);
const LONG = 200;
const FOREVER = 2n ** 256n - 1n;
const SHARES = new Set(["floor", "target", "floorPay"]);

function shown(name: string, value: unknown): string {
  if (typeof value === "bigint" || typeof value === "number") {
    if (AMOUNTS.has(name)) return tr`${tokens(BigInt(value))} tokens`;
    if (name === "deadline" && BigInt(value) === FOREVER) return tr("none: spent by its nonce");
    if (SHARES.has(name)) return (Number(value) / 1e6).toFixed(6);
    if (name.endsWith("Window")) return tr`${value} s`;
    return String(value);
  }
  const text = String(value);
  return text.length > LONG ? tr`${text.slice(0, 66)}… (${text.length / 2 - 1} bytes)` : text;
}

function rows(parts: readonly any[], values: readonly any[], prefix = ""): [string, string][] {
  return parts.flatMap((part, i): [string, string][] => {
    const value = values[i];
    const name = prefix + part.name;
    if (part.type.endsWith("[]")) {
      const inner = { ...part, type: part.type.slice(0, -2) };
      return value.flatMap((each: any, n: number) =>
        rows([{ ...inner, name: `${part.name} ${n + 1}` }], [each], prefix),
      );
    }
    if (part.type === "tuple")
      return rows(
        part.components,
        part.components.map((c: any) => value[c.name]),
        part.name === "terms" ? "" : `${name}: `,
      );
    return [[name, shown(part.name, value)]];
  });
}

export interface Reading {
  name: string;
  says: string;
  rows: [string, string][];
}

export function readCall(network: Network, call: Call): Reading {
  const abi = call.to.toLowerCase() === network.token.toLowerCase() ? TOKEN : MARKET;
  const { functionName, args = [] } = decodeFunctionData({ abi, data: call.data });
  const item = abi.find(
    (each) => each.type === "function" && each.name === functionName && each.inputs.length === args.length,
  ) as any;
  const contract = abi === TOKEN ? "token" : "market";
  const told = rows(item.inputs, args as any[]);
  return { name: functionName, says: SAYS[functionName] ?? functionName, rows: [[contract, call.to], ...told] };
}
