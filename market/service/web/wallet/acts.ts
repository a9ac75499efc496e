// What the connected account may do on this page, as the chain stands now: a call that would fail is not offered.

import type { Hex } from "viem";
import { onMarket, termsOf, type Call } from "./calls";
import { Problem, problemOf, tokens } from "./chain";
import { element, say } from "./dom";
import type { About, Sender } from "./sending";
import { tr } from "../words";

interface Act extends About {
  label: string;
  call: Call;
}

const GAS = tr("gas only");
const MOST_BIDS = 5;
const REQUESTER = 8; // as a party of demands
const APPEAL_SHARE: Record<number, bigint> = { 2: 10n, 3: 15n }; // percent of what the bids are worth (P3.6)

export const run = async (work: () => Promise<unknown>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    say((await problemOf(error)).text, "bad");
  }
};

const json = async (path: string): Promise<any> => {
  const answer = await fetch(path);
  const told = await answer.json();
  if (!answer.ok) throw new Problem(told.detail ?? tr`status ${answer.status}`, told.code ?? "failed", told.hint ?? "");
  return told;
};

function button(sender: Sender, act: Act): HTMLElement {
  const press = () =>
    run(async () => {
      if (await sender.send(act, [act.call], false)) say(tr`Done: ${act.title.toLowerCase()}.`, "good");
    });
  return element(
    "li",
    {},
    element("button", { type: "button", class: "button", click: press }, act.label),
    element("span", {}, tr` ${act.costs}. At risk: ${act.risks}.`),
  );
}

async function possible(sender: Sender, acts: Act[]): Promise<Act[]> {
  const tried = await Promise.all(
    acts.map((act) =>
      sender.chain.attempt(sender.account, act.call.to, act.call.data).then(
        () => true,
        () => false,
      ),
    ),
  );
  return acts.filter((_, i) => tried[i]);
}

const once = (acts: Act[]): Act[] =>
  acts.filter((act, i) => acts.findIndex((each) => each.label === act.label && each.costs === act.costs) === i);

// ------------------------------------------------------------------------------------------------------- a job

async function jobActs(sender: Sender, id: string): Promise<Act[]> {
  const job = await json(`/v1/jobs/${id}`);
  const terms = termsOf(job.terms);
  const { network } = sender.chain;
  const call = (name: string, ...args: unknown[]) => onMarket(network, name, ...args);
  const escrow = terms.lanes * terms.priceCap + terms.committee * terms.fee + terms.bond;
  const move = (name: string, label: string, argument: unknown): Act => ({
    label,
    title: label,
    costs: tr`Anyone may make this move; it costs ${GAS}`,
    risks: tr("nothing"),
    call: call(name, argument),
  });
  const acts: Act[] = [
    {
      label: tr("Take the job back"),
      title: tr("Take the job back"),
      costs: tr`Returns ${tokens(escrow)} tokens to your free balance`,
      risks: tr("nothing"),
      call: call("cancel", terms),
    },
    move("expire", tr("End it: nobody was accepted in time"), terms),
    move("close", tr("End this stage: its deadline has passed"), id),
    move("pin", tr("Draw the committee's seed anew"), id),
    move("settle", tr("Settle: pay everybody"), terms),
  ];
  if (job.state === "open") acts.push(...(await bidActs(sender, id, terms)));
  if (job.pending.includes(REQUESTER)) acts.push(...(await answerActs(sender, id, terms)));
  if (job.state === "scored" && job.round + 1 in APPEAL_SHARE) acts.push(...appealActs(sender, job, terms));
  return once(await possible(sender, acts));
}

// What a keeper of this service has for the chain. It sends no transaction: only the requester may answer (P4.5).
async function answerActs(sender: Sender, id: string, terms: Record<string, any>): Promise<Act[]> {
  const { network } = sender.chain;
  if (sender.account.toLowerCase() !== terms.requester.toLowerCase()) return [];
  const told = await Promise.all(network.keepers.map(({ url }) => json(`${url}/v1/answers/${id}`).catch(() => null)));
  const label = tr("Answer the demand: put the keys' envelopes on chain");
  return told
    .filter((each) => /^0x([0-9a-f]{2})+$/.test(each?.answer))
    .slice(0, 1)
    .map(({ answer }) => ({
      label,
      title: tr("Answer the demand"),
      costs: tr`Puts ${answer.length / 2 - 1} bytes of sealed envelopes on chain; it costs ${GAS}`,
      risks: tr`your bond of ${tokens(terms.bond)} if nothing is answered by the deadline`,
      call: onMarket(network, "answer", terms, BigInt(REQUESTER), answer),
    }));
}

async function bidActs(sender: Sender, id: string, terms: Record<string, any>): Promise<Act[]> {
  const { letters } = await json(`/v1/jobs/${id}/bids`);
  const bids = letters.map(({ letter }: any) => {
    const { signature, ...bid } = letter.body;
    return { bid: { ...bid, job: id, provider: letter.sender, ...numbers(bid) }, signature: signature as Hex };
  });
  bids.sort((a: any, b: any) => (a.bid.price < b.bid.price ? -1 : 1));
  const whole: bigint = BigInt(terms.lanes) * terms.priceCap;
  const accept = (chosen: any[], whose: string): Act => {
    const price: bigint = chosen.reduce((sum, { bid }) => sum + bid.price, 0n);
    const [offers, signatures] = [chosen.map((each) => each.bid), chosen.map((each) => each.signature)];
    return {
      label: tr`Accept ${tokens(price)} of ${whose}`,
      title: chosen.length > 1 ? tr("Accept these bids") : tr("Accept this bid"),
      costs: tr`Binds ${chosen.length} of ${terms.lanes} lanes; ${tokens(whole - price)} of the escrow come back`,
      risks: tr`your bond of ${tokens(terms.bond)} if keys are late: keep \`heldout requester run\` running`,
      call: onMarket(sender.chain.network, "accept", terms, offers, signatures),
    };
  };
  const each = bids.slice(0, MOST_BIDS).map((one: any) => accept([one], `${one.bid.provider.slice(0, 8)}…`));
  const providers = new Set<string>();
  const cheapest = bids.filter(({ bid }: any) => !providers.has(bid.provider) && providers.add(bid.provider));
  const lanes = cheapest.slice(0, Number(terms.lanes));
  return lanes.length > 1 ? [accept(lanes, tr`the ${lanes.length} cheapest providers`), ...each] : each;
}

const numbers = (bid: any) => ({
  price: BigInt(bid.price),
  validUntil: BigInt(bid.validUntil),
  nonce: BigInt(bid.nonce),
});

// A seat names its place of the round; for the parties any place does. What the chain would take is offered once.
function appealActs(sender: Sender, job: any, terms: Record<string, any>): Act[] {
  const next = job.round + 1;
  const worth = job.lanes.reduce((sum: bigint, lane: any) => sum + BigInt(lane.price), 0n);
  const size = next === 2 ? 2n * terms.committee + 1n : 4n * terms.committee + 3n;
  const byFees = 2n * size * terms.fee;
  const byValue = (worth * APPEAL_SHARE[next]) / 100n;
  const bond = byFees > byValue ? byFees : byValue;
  const seats: number = job.rounds.at(-1)?.seats.length ?? 1;
  return Array.from({ length: seats }, (_, place) => ({
    label: tr("Appeal"),
    title: tr("Appeal to a bigger committee"),
    costs: tr`Locks a bond of ${tokens(bond)} tokens from your free balance`,
    risks: tr("the bond, unless the bigger committee decides otherwise than the smaller one"),
    call: onMarket(sender.chain.network, "appeal", terms, BigInt(place)),
  }));
}

// --------------------------------------------------------------------------------------------------- an account

function field(label: string, name: string, attributes: Record<string, string>): HTMLElement {
  return element("label", {}, label, element("input", { name, required: true, autocomplete: "off", ...attributes }));
}

function form(
  title: string,
  fields: HTMLElement[],
  go: string,
  submit: (values: Record<string, string>) => Promise<void>,
): HTMLElement {
  const made = element(
    "form",
    { class: "act" },
    element("h3", {}, title),
    ...fields,
    element("button", { class: "button" }, go),
  );
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = Object.fromEntries([...new FormData(made)].map(([k, v]) => [k, String(v)]));
    void run(() => submit(values));
  });
  return made;
}

const AMOUNT = { inputmode: "decimal", pattern: "[0-9]{1,29}([.][0-9]{1,18})?", size: "10" };

export function parseTokens(text: string): bigint {
  const [whole, part = ""] = text.split(".");
  return BigInt(whole) * 10n ** 18n + BigInt(part.padEnd(18, "0"));
}

async function accountForms(sender: Sender): Promise<HTMLElement[]> {
  const { chain, account } = sender;
  const [free, held, stake, live] = await Promise.all([
    chain.market("free", account),
    chain.token("balanceOf", account),
    chain.market("seatStake"),
    chain.market("liveSeats"),
  ]);
  const deposit = form(tr("Deposit"), [field(tr("Tokens"), "amount", AMOUNT)], tr("Deposit"), async ({ amount }) => {
    await sender.onOurChain();
    const wei = parseTokens(amount);
    const together = await sender.batches();
    const calls = await sender.depositing(wei, together);
    const about = {
      title: tr("Deposit"),
      costs: tr`${tokens(wei)} tokens move from your wallet to your free balance`,
      risks: tr("nothing: free balance can be withdrawn at any time"),
    };
    if (calls && (await sender.send(about, calls, together))) say(tr`Deposited ${tokens(wei)} tokens.`, "good");
  });
  const withdraw = form(tr("Withdraw"), [field(tr("Tokens"), "amount", AMOUNT)], tr("Withdraw"), async ({ amount }) => {
    const wei = parseTokens(amount);
    const about = {
      title: tr("Withdraw"),
      costs: tr`${tokens(wei)} tokens move from your free balance to your wallet`,
      risks: tr("nothing; bids and seats that need them stop being possible"),
    };
    if (await sender.send(about, [onMarket(chain.network, "withdraw", account, wei)], false))
      say(tr`Withdrew ${tokens(wei)} tokens.`, "good");
  });
  const fields = [
    field(tr("Seats"), "count", { inputmode: "numeric", pattern: "[1-9][0-9]?", size: "4", value: "1" }),
    field(tr("Hot key (address)"), "hot", { pattern: "0x[0-9a-fA-F]{40}", size: "14" }),
    field(tr("Wrapping key (64 digits)"), "key", { pattern: "(0x)?[0-9a-fA-F]{64}", size: "14" }),
  ];
  const seats = form(tr`Stake seats, ${tokens(stake)} each`, fields, tr("Stake"), async ({ count, hot, key }) => {
    const about = {
      title: tr("Stake seats"),
      costs: tr`${tokens(stake * BigInt(count))} tokens of your free balance are locked; ${live} seats are live now`,
      risks:
        tr("the stake: missed commits, missed reveals and votes apart from the majority are slashed. `heldout validator run` must run for the hot key"),
    };
    const call = onMarket(chain.network, "stake", BigInt(count), hot, `0x${key.replace(/^0x/, "")}`);
    if (await sender.send(about, [call], false)) say(tr("Staked."), "good");
  });
  const balances = element("p", {}, tr`Free on the market: ${tokens(free)}. In the wallet: ${tokens(held)}.`);
  return [balances, element("div", { class: "forms" }, deposit, withdraw, seats)];
}

async function seatButtons(sender: Sender): Promise<void> {
  for (const place of document.querySelectorAll<HTMLElement>("[data-seat]")) {
    const seat = Number(place.dataset.seat);
    const call = (name: string) => onMarket(sender.chain.network, name, seat);
    const acts = await possible(sender, [
      {
        label: tr("Leave"),
        title: tr`Seat ${seat} leaves`,
        costs: GAS,
        risks: tr("the stake stays at risk until the delay is over"),
        call: call("exit"),
      },
      {
        label: tr("Take the stake"),
        title: tr`Unstake seat ${seat}`,
        costs: tr("the stake comes to your free balance"),
        risks: tr("nothing"),
        call: call("unstake"),
      },
    ]);
    place.replaceChildren(
      ...acts.map((act) => {
        const press = () =>
          run(async () => {
            if (await sender.send(act, [act.call], false)) say(tr`Done: ${act.title}.`, "good");
          });
        return element(
          "button",
          { type: "button", "aria-label": tr`${act.label}: seat ${seat}`, click: press },
          act.label,
        );
      }),
    );
  }
}

// ---------------------------------------------------------------------------------------------------- all pages

let turn = 0;

// Half-filled forms stay as they are; acts that are no longer possible go, and the keyboard stays near.
function exchange(place: HTMLElement, made: HTMLElement[]): void {
  const told = (nodes: Iterable<Element>) => [...nodes].map((node) => node.textContent).join();
  if (told(place.children) === told(made)) return;
  const typing = place.querySelector("input:focus");
  if (typing)
    return void typing.addEventListener("blur", () => document.dispatchEvent(new Event("heldout:refreshed")), {
      once: true,
    });
  const inside = place.contains(document.activeElement);
  place.replaceChildren(...made);
  if (inside) place.focus();
}

export async function offer(sender: Sender | null): Promise<void> {
  const mine = ++turn;
  const place = document.querySelector<HTMLElement>("[data-acts]");
  const { job, account } = document.querySelector("main")?.dataset ?? {};
  if (!place) return;
  if (!sender) return void place.replaceChildren();
  try {
    let made: HTMLElement[] = [];
    if (job) {
      const acts = await jobActs(sender, job);
      if (acts.length)
        made = [
          element("h2", {}, tr("What you can do now")),
          element("ul", {}, ...acts.map((act) => button(sender, act))),
        ];
    } else if (account?.toLowerCase() === sender.account.toLowerCase()) {
      made = await accountForms(sender);
    }
    if (account) await seatButtons(sender);
    if (mine === turn) exchange(place, made);
  } catch (error) {
    if (mine === turn) place.replaceChildren(element("p", { class: "dim" }, (await problemOf(error)).text));
  }
}
