// From calls to transactions: on the right chain, tried first, shown first, in as few signatures as the wallet allows.

import { parseSignature, type Hex } from "viem";
import { approve, onMarket, readCall, type Call } from "./calls";
import { Chain, Problem, problemOf, tokens } from "./chain";
import { dialog, element, say, table } from "./dom";
import { tr } from "../words";

const POLL_MS = 500;
const PATIENCE_MS = 180_000;
const DELEGATION = "0xef0100";
const NO_DEADLINE = 2n ** 256n - 1n; // spent by its nonce, and good for the market alone

export interface About {
  title: string;
  costs: string;
  risks: string;
}

export class Sender {
  constructor(
    readonly chain: Chain,
    readonly account: Hex,
  ) {}

  private request(method: string, params: unknown[] = []): Promise<any> {
    return this.chain.provider.request({ method, params });
  }

  async onOurChain(): Promise<void> {
    const { chainId, name } = this.chain.network;
    const wanted = `0x${chainId.toString(16)}`;
    const there = async () => Number(await this.request("eth_chainId")) === chainId;
    if (await there()) return;
    try {
      await this.request("wallet_switchEthereumChain", [{ chainId: wanted }]);
    } catch (error: any) {
      if (error?.code === 4001) throw error;
      throw new Problem(
        tr`The wallet does not know the chain of ${name}`,
        "wrong_network",
        tr`add chain ${chainId} to it`,
      );
    }
    if (!(await there()))
      throw new Problem(
        tr`The wallet is on another chain than ${name}`,
        "wrong_network",
        tr`switch it to chain ${chainId}`,
      );
  }

  // Whether the wallet takes several calls as one (EIP-5792).
  async batches(): Promise<boolean> {
    try {
      const chain = `0x${this.chain.network.chainId.toString(16)}`;
      const all = await this.request("wallet_getCapabilities", [this.account, [chain]]);
      return ["supported", "ready"].includes((all[chain] ?? all["0x0"])?.atomic?.status);
    } catch {
      return false;
    }
  }

  // Shows all calls, sends them, and waits until they are mined. False if the person changed their mind.
  async send(about: About, calls: Call[], together: boolean): Promise<boolean> {
    await this.onOurChain();
    const first = calls[0];
    await this.chain.attempt(this.account, first.to, first.data);
    if (!(await this.preview(about, calls, together))) {
      say(tr("Nothing was sent."));
      return false;
    }
    try {
      if (together && calls.length > 1) await this.batch(calls);
      else for (const [n, call] of calls.entries()) await this.one(call, n, calls.length);
    } catch (error) {
      throw await problemOf(error);
    }
    return true;
  }

  private async preview(about: About, calls: Call[], together: boolean): Promise<boolean> {
    const { network } = this.chain;
    const readings = calls.map((call) => readCall(network, call));
    const gas = await Promise.all(calls.map((call) => this.chain.gas(this.account, call.to, call.data)));
    const body = readings.map((reading, n) =>
      element(
        "section",
        { class: "call" },
        element("h3", {}, `${calls.length > 1 ? `${n + 1}. ` : ""}${reading.says}`),
        element(
          "details",
          { open: reading.rows.length < 8 },
          element("summary", {}, tr`${reading.name}, as it will be signed`),
          table(reading.rows),
        ),
        element(
          "p",
          { class: "note" },
          gas[n] === null
            ? tr("Gas: known once the call before it is mined.")
            : tr`Gas: about ${gas[n]!.toLocaleString("en")}.`,
        ),
      ),
    );
    say("");
    const how =
      calls.length > 1
        ? together
          ? tr("Your wallet sends these together, with one signature.")
          : tr`Your wallet asks ${calls.length} times.`
        : "";
    const facts = table([
      [tr("Costs"), about.costs],
      [tr("At risk"), about.risks],
      [tr("From"), this.account],
      [tr("Network"), tr`${network.name}, chain ${network.chainId}`],
    ]);
    return dialog(about.title, [facts, ...body, how && element("p", {}, how)], tr("Continue in the wallet"));
  }

  private async one(call: Call, n: number, all: number): Promise<void> {
    const step = all > 1 ? tr` (${n + 1} of ${all})` : "";
    say(tr`Waiting for your wallet${step}…`);
    const hash = await this.request("eth_sendTransaction", [{ from: this.account, to: call.to, data: call.data }]);
    say(tr`Sent${step}: ${hash}. Waiting until it is mined…`);
    const receipt = await this.until(() => this.request("eth_getTransactionReceipt", [hash]));
    if (Number(receipt.status) !== 1) {
      await this.chain.attempt(this.account, call.to, call.data); // says why, if it still holds
      throw new Problem(
        tr`Transaction ${hash} was reverted`,
        "reverted",
        tr("look at the page again: somebody else was first"),
      );
    }
  }

  private async batch(calls: Call[]): Promise<void> {
    say(tr("Waiting for your wallet…"));
    const chainId = `0x${this.chain.network.chainId.toString(16)}`;
    const wanted = { version: "2.0.0", chainId, from: this.account, atomicRequired: true, calls };
    const answer = await this.request("wallet_sendCalls", [wanted]);
    const id = typeof answer === "string" ? answer : answer.id;
    say(tr("Sent. Waiting until it is mined…"));
    const done = await this.until(async () => {
      const status = await this.request("wallet_getCallsStatus", [id]);
      return status.status >= 200 ? status : null;
    });
    if (done.status !== 200) throw new Problem(tr("The wallet's batch failed; nothing of it happened"), "reverted");
  }

  private async until<T>(ask: () => Promise<T | null>): Promise<T> {
    for (let waited = 0; waited < PATIENCE_MS; waited += POLL_MS) {
      const answer = await ask();
      if (answer) return answer;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Problem(
      tr("It was sent, but is not mined yet"),
      "timed_out",
      tr("look at your wallet; the page follows the chain"),
    );
  }

  // A contract cannot sign a permit (ERC-2612 recovers a key); a key that lends itself code can (EIP-7702).
  private async isContract(): Promise<boolean> {
    const code: string = await this.request("eth_getCode", [this.account, "latest"]);
    return code !== "0x" && !code.startsWith(DELEGATION);
  }

  // Calls that put `amount` into the free balance: approved in a batch, else permitted, else approved to the unit.
  async depositing(amount: bigint, together: boolean): Promise<Call[] | null> {
    const { network } = this.chain;
    const held: bigint = await this.chain.token("balanceOf", this.account);
    if (held < amount) {
      const what = tr`The wallet holds ${tokens(held)} tokens, ${tokens(amount)} are needed`;
      throw new Problem(what, "insufficient_tokens", tr("send tokens to this address first"));
    }
    const plain = [approve(network, amount), onMarket(network, "deposit", amount)];
    if (together || (await this.isContract())) return plain;
    const permit = await this.permit(amount);
    if (permit === "declined") return null;
    return permit
      ? [onMarket(network, "depositWithPermit", amount, NO_DEADLINE, permit.v, permit.r, permit.s)]
      : plain;
  }

  private async permit(amount: bigint): Promise<{ v: bigint; r: Hex; s: Hex } | null | "declined"> {
    const { network } = this.chain;
    let nonce: bigint, domain: any[];
    try {
      [nonce, domain] = await Promise.all([
        this.chain.token("nonces", this.account),
        this.chain.token("eip712Domain"),
      ]);
    } catch {
      return null; // a token that knows no permits
    }
    const message = {
      owner: this.account,
      spender: network.market,
      value: String(amount),
      nonce: String(nonce),
      deadline: String(NO_DEADLINE),
    };
    const rows: [string, string][] = [
      ["token", network.token],
      ["spender", tr`${network.market} (the market)`],
      ["value", tr`${tokens(amount)} tokens, exactly`],
      ["nonce", String(nonce)],
      ["deadline", tr("none: it is spent by its nonce")],
    ];
    const text =
      tr("A signature, not a transaction: it lets the market take these tokens when you deposit them, and nothing else.");
    if (
      !(await dialog(
        tr("Sign a permit for the deposit"),
        [element("p", {}, text), table(rows)],
        tr("Continue in the wallet"),
      ))
    )
      return "declined";
    const fields = (text: string) =>
      text
        .split(" ")
        .map((each) => each.split(":"))
        .map(([type, name]) => ({ type, name }));
    const typed = {
      types: {
        EIP712Domain: fields("string:name string:version uint256:chainId address:verifyingContract"),
        Permit: fields("address:owner address:spender uint256:value uint256:nonce uint256:deadline"),
      },
      primaryType: "Permit",
      domain: { name: domain[1], version: domain[2], chainId: network.chainId, verifyingContract: network.token },
      message,
    };
    say(tr("Waiting for your wallet's signature…"));
    const signature = await this.request("eth_signTypedData_v4", [this.account, JSON.stringify(typed)]);
    const { r, s, v, yParity } = parseSignature(signature);
    return { r, s, v: v ?? BigInt(yParity + 27) };
  }
}
