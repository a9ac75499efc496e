// The wallet, loaded when somebody connects one. Everything before that works without it.

import type { Hex } from "viem";
import { offer, run } from "./wallet/acts";
import { Chain, tokens, type Network } from "./wallet/chain";
import { wallets, type Announced } from "./wallet/discovery";
import { dialog, element, say } from "./wallet/dom";
import { Sender } from "./wallet/sending";
import { tr } from "./words";

const KEY = "heldout.wallet";
const LOOK_AGAIN_MS = 8_000;
let sender: Sender | null = null;
const listened = new Set<Announced["provider"]>();

function network(): Network {
  return JSON.parse(document.getElementById("wallet")!.dataset.network!);
}

// The connected sender, after asking if need be; null if the person does not want to.
export async function connected(): Promise<Sender | null> {
  if (!sender) await connect();
  return sender;
}

export { onMarket, termsOf } from "./wallet/calls";
export { Problem, problemOf, tokens } from "./wallet/chain";
export { element, say } from "./wallet/dom";
export { run } from "./wallet/acts";

export async function connect(): Promise<void> {
  const known = await wallets();
  const chosen = known.length === 1 ? known[0] : await choose(known);
  if (!chosen) return;
  const accounts: Hex[] = await chosen.provider.request({ method: "eth_requestAccounts" });
  localStorage.setItem(KEY, chosen.id);
  listen(chosen);
  await use(chosen, accounts);
  say("");
}

// Goes on with the wallet of the last visit, without asking anything.
export async function resume(): Promise<void> {
  const last = localStorage.getItem(KEY);
  const again = (await wallets()).find((each) => each.id === last);
  if (!again) return show();
  listen(again);
  await use(again, await again.provider.request({ method: "eth_accounts" }));
}

async function choose(known: Announced[]): Promise<Announced | null> {
  if (!known.length) {
    const text =
      tr("No wallet has announced itself in this browser. Install one, or use the command line: everything here can be done with it.");
    await dialog(tr("No wallet"), [element("p", {}, text)], "", tr("Close"));
    return null;
  }
  const choices = known.map((each, i) =>
    element(
      "label",
      { class: "choice" },
      element("input", { type: "radio", name: "wallet", value: String(i), checked: i === 0 }),
      each.icon ? element("img", { src: each.icon, alt: "", width: "24", height: "24" }) : null,
      each.name,
    ),
  );
  const list = element("fieldset", {}, element("legend", {}, tr("Wallets in this browser")), ...choices);
  if (!(await dialog(tr("Connect a wallet"), [list], tr("Connect")))) return null;
  return known[Number(list.querySelector<HTMLInputElement>("input:checked")!.value)];
}

function listen(wallet: Announced): void {
  if (listened.has(wallet.provider)) return;
  listened.add(wallet.provider);
  wallet.provider.on?.("accountsChanged", (accounts: Hex[]) => void run(() => use(wallet, accounts)));
  wallet.provider.on?.("chainChanged", () => void run(() => refresh()));
}

async function use(wallet: Announced, accounts: Hex[]): Promise<void> {
  await offer(null); // what another account was offered may read the same, and would be sent from there
  sender = accounts[0] ? new Sender(new Chain(wallet.provider, network()), accounts[0]) : null;
  await refresh();
}

async function forget(): Promise<void> {
  localStorage.removeItem(KEY);
  sender = null;
  await refresh();
}

export async function refresh(): Promise<void> {
  await show();
  document.dispatchEvent(new CustomEvent("heldout:account", { detail: sender?.account ?? null }));
  await offer((await here()) ? sender : null);
}

async function here(): Promise<boolean> {
  return (
    sender !== null && Number(await sender.chain.provider.request({ method: "eth_chainId" })) === network().chainId
  );
}

async function show(): Promise<void> {
  const place = document.getElementById("wallet")!;
  const press = (work: () => Promise<unknown>) => () => run(work);
  if (!sender) {
    place.replaceChildren(element("button", { type: "button", click: press(connect) }, tr("Connect wallet")));
    return;
  }
  const { account, chain } = sender;
  const link = element(
    "a",
    { href: `/accounts/${account}`, title: account },
    `${account.slice(0, 6)}…${account.slice(-4)}`,
  );
  const leave = element("button", { type: "button", click: press(forget) }, tr("Disconnect"));
  if (!(await here())) {
    const change = () =>
      run(async () => {
        await sender?.onOurChain();
        await refresh();
      });
    const wrong = element(
      "button",
      { type: "button", class: "button first", click: change },
      tr`Switch to ${chain.network.name}`,
    );
    place.replaceChildren(link, tr(" is on another chain "), wrong, " ", leave);
    return;
  }
  const free = await chain.market("free", account).catch(() => null);
  place.replaceChildren(link, free === null ? " " : tr` ${tokens(free)} free `, leave);
}

const again = () => void run(async () => offer((await here()) ? sender : null));
document.addEventListener("heldout:refreshed", again);
// Deadlines pass without an event.
setInterval(() => sender && document.visibilityState === "visible" && again(), LOOK_AGAIN_MS);
