// Reading the chain through the wallet's own node, and what its answers mean.

import { decodeErrorResult, decodeFunctionResult, encodeFunctionData, formatUnits, type Abi, type Hex } from "viem";
import { abi as front } from "../../../chain/abi/IMarket.json";
import { abi as token } from "../../../chain/abi/HeldToken.json";
import type { Provider } from "./discovery";
import { tr } from "../words";

export const MARKET = front as Abi;
export const TOKEN = token as Abi;
const ALL = [...MARKET, ...TOKEN] as Abi;

// Of shard keys, as the service lists it.
export interface Keeper {
  address: Hex;
  wrapKey: string;
  url: string;
}

export interface Network {
  name: string;
  chainId: number;
  market: Hex;
  token: Hex;
  stores: string[];
  images: Record<string, string>;
  keepers: Keeper[];
}

// One error for everything that goes wrong here. `code` is a word of the market's one list (/errors).
export class Problem extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly hint = "",
  ) {
    super(message);
  }
  get text(): string {
    return this.hint ? `${this.message}. ${this.hint[0].toUpperCase()}${this.hint.slice(1)}.` : `${this.message}.`;
  }
}

export const tokens = (wei: bigint): string => {
  const [whole, part = ""] = formatUnits(wei, 18).split(".");
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}.${part.padEnd(2, "0")}`;
};

export class Chain {
  constructor(
    readonly provider: Provider,
    readonly network: Network,
  ) {}

  private async read(to: Hex, abi: Abi, functionName: string, args: unknown[]): Promise<any> {
    const data = encodeFunctionData({ abi, functionName, args });
    const result = await this.provider.request({ method: "eth_call", params: [{ to, data }, "latest"] });
    return decodeFunctionResult({ abi, functionName, data: result });
  }
  market(name: string, ...args: unknown[]): Promise<any> {
    return this.read(this.network.market, MARKET, name, args);
  }
  token(name: string, ...args: unknown[]): Promise<any> {
    return this.read(this.network.token, TOKEN, name, args);
  }
  // Throws the Problem that the call would end with.
  async attempt(from: Hex, to: Hex, data: Hex): Promise<void> {
    try {
      await this.provider.request({ method: "eth_call", params: [{ from, to, data }, "latest"] });
    } catch (error) {
      throw await problemOf(error);
    }
  }
  async gas(from: Hex, to: Hex, data: Hex): Promise<bigint | null> {
    try {
      return BigInt(await this.provider.request({ method: "eth_estimateGas", params: [{ from, to, data }] }));
    } catch {
      return null; // it may depend on a call before it
    }
  }
}

let hints: Promise<Map<string, string>> | undefined;

function allHints(): Promise<Map<string, string>> {
  hints ??= fetch("/v1/errors").then(async (answer) => {
    const { reverts } = await answer.json();
    return new Map<string, string>(reverts.map((each: { name: string; hint: string }) => [each.name, each.hint]));
  });
  return hints;
}

// Wallets wrap a node's error in their own, each in another way: the first hex data found is the contract's.
function revertData(error: any, depth = 0): Hex | undefined {
  if (typeof error === "string") return /^0x([0-9a-f]{8})([0-9a-f]{64})*$/i.test(error) ? (error as Hex) : undefined;
  if (!error || typeof error !== "object" || depth > 4) return undefined;
  for (const part of [error.data, error.cause, error.error, error.originalError]) {
    const inside = revertData(part, depth + 1);
    if (inside) return inside;
  }
  return undefined;
}

export async function problemOf(error: any): Promise<Problem> {
  if (error instanceof Problem) return error;
  if (error?.code === 4001) return new Problem(tr("You declined in the wallet; nothing was sent"), "declined");
  if (error?.code === 4900 || error?.code === 4901)
    return new Problem(tr("The wallet has lost its chain"), "chain_unavailable");
  const data = revertData(error);
  if (data) {
    try {
      const { errorName, args = [] } = decodeErrorResult({ abi: ALL, data });
      const hint = (await allHints().catch(() => new Map<string, string>())).get(errorName) ?? "";
      return new Problem(tr`The contract refuses: ${errorName}(${args.join(", ")})`, "reverted", hint);
    } catch {
      // an error of another contract
    }
  }
  return new Problem(String(error?.message ?? error).slice(0, 300), "chain_unavailable");
}
