// The last step: borrowed keys, sealed data, one upload permit, the plan in the command line's words, and the posting.

import { Bytes, hex, sha256, unhex, utf8 } from "../bytes";
import type { Keeper } from "../wallet/chain";
import type { Sender } from "../wallet/sending";
import type { Form, NamedFile } from "./form";
import { Asking, Loan, Sealed, ask, handOver, openLoan, seal } from "./sealing";
import { tr } from "../words";

type Island = typeof import("../wallet");

interface Blob_ {
  id: string;
  data: Bytes;
}
interface Planned {
  job: string;
  terms: Record<string, any>;
  lines: string[];
}

const LIFETIME_S = 1800;
const [INDEX_MS, INDEX_TRIES] = [500, 60];
const place = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

// The page of a job is there a block or two after the job is.
async function indexed(job: string): Promise<void> {
  for (let tries = 0; tries < INDEX_TRIES; tries++) {
    const answer = await fetch(`/v1/jobs/${job}`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, INDEX_MS));
  }
}

export class Posting {
  private asking: Promise<Asking> = ask();
  private loan: Loan | null = null;
  private sealed: Sealed | null = null;
  private task = "";
  private planned: Planned | null = null;

  constructor(
    private readonly form: Form,
    private readonly posted: () => void,
  ) {
    for (const [id, work] of [
      ["use-loan", this.useLoan],
      ["upload", this.upload],
      ["show-plan", this.plan],
      ["sign", this.sign],
    ] as const)
      place(id).addEventListener("click", () => void this.doing(place<HTMLButtonElement>(id), work.bind(this)));
    for (const choice of this.choices()) choice.addEventListener("change", () => void this.chooseKeeper());
  }

  private choices(): HTMLInputElement[] {
    return [...document.querySelectorAll<HTMLInputElement>("input[name=keeper]")];
  }

  // Who keeps the keys; null for the requester's own machine.
  private keeper(): Keeper | null {
    const chosen = this.choices().find((choice) => choice.checked)?.value ?? "";
    if (!chosen) return null;
    return JSON.parse(place("wallet").dataset.network!).keepers[Number(chosen)];
  }

  // Keys that another keeper took, or none, are handed over anew.
  private async chooseKeeper(): Promise<void> {
    const kept = this.keeper() !== null;
    for (const part of document.querySelectorAll<HTMLElement>("[data-kept-by]"))
      part.hidden = (part.dataset.keptBy === "keeper") !== kept;
    this.sealed = null;
    this.done("do-upload", false);
    await this.review();
  }

  private island(): Promise<Island> {
    return import(document.getElementById("wallet")!.dataset.island!);
  }

  private async doing(
    button: HTMLButtonElement,
    work: (wallet: Island, sender: Sender) => Promise<void>,
  ): Promise<void> {
    const wallet = await this.island();
    button.disabled = true;
    await wallet.run(async () => {
      const sender = await wallet.connected();
      if (sender) await work(wallet, sender);
    });
    button.disabled = false;
  }

  // Shown whenever the last step is: what was sealed for other answers is not used.
  async review(): Promise<void> {
    const toml = this.form.toml();
    place("toml").textContent = toml;
    place<HTMLAnchorElement>("save-toml").href = `data:application/toml;charset=utf-8,${encodeURIComponent(toml)}`;
    const code = document.createElement("code");
    const elsewhere = this.keeper() ? " --elsewhere" : "";
    code.textContent = `heldout requester lend ${(await this.asking).code} --shards ${this.form.shards}${elsewhere}`;
    const line = document.createElement("pre");
    line.className = "command";
    line.append(code);
    place("lend").replaceChildren(line);
    this.done("do-keys", this.loan?.keys.length === this.form.shards);
    this.forgetPlan();
  }

  private done(id: string, yes: boolean): void {
    place(id).classList.toggle("done", yes);
  }

  private forgetPlan(): void {
    this.planned = null;
    place("plan").textContent = "";
    place("sign").hidden = true;
  }

  private async useLoan(wallet: Island, sender: Sender): Promise<void> {
    const loan = await openLoan(await this.asking, place<HTMLInputElement>("loan").value);
    if (loan.address.toLowerCase() !== sender.account.toLowerCase()) {
      const hint =
        tr("the requester signs and keeps with one key: import the key ring's account.json into the wallet, or connect that account");
      throw new wallet.Problem(
        tr`These keys are of ${loan.address}, the wallet is connected as ${sender.account}`,
        "other_account",
        hint,
      );
    }
    if (loan.keys.length !== this.form.shards) {
      throw new wallet.Problem(
        tr`These keys are for ${loan.keys.length} shards, the job asks for ${this.form.shards}`,
        "other_shards",
        tr("call the command above again"),
      );
    }
    [this.loan, this.sealed] = [loan, null];
    this.done("do-keys", true);
    this.done("do-upload", false);
    this.forgetPlan();
    wallet.say(tr("Keys are here. Next: seal and upload."), "good");
  }

  private async upload(wallet: Island, sender: Sender): Promise<void> {
    if (!this.loan || !this.form.table)
      throw new wallet.Problem(
        tr("There are no data or no keys yet"),
        "no_keys",
        tr("choose data files, and borrow keys first"),
      );
    wallet.say(tr("Sealing…"));
    const [files, graph] = [await this.form.files(), await this.form.graph()];
    const sealed = await seal(this.form.table, this.loan, this.form.dropped);
    const manifest = await this.manifest(wallet, files, graph);
    const parts = [...sealed.shards, sealed.leaves, ...files.map((file) => file.data), graph.data, manifest];
    const blobs = new Map<string, Blob_>();
    for (const data of parts) {
      const id = hex(await sha256(data));
      blobs.set(id, { id, data });
    }
    this.task = `0x${hex(await sha256(manifest))}`;
    const { stores } = sender.chain.network;
    if (!stores.length) throw new wallet.Problem(tr("This network names no store"), "no_store", tr("ask its operator"));
    for (const store of stores) await this.uploadTo(wallet, sender, store, [...blobs.values()]);
    await this.handKeys(wallet);
    this.sealed = sealed;
    this.done("do-upload", true);
    this.forgetPlan();
    wallet.say(
      tr`Sealed ${sealed.rows.reduce((a, b) => a + b)} rows into ${sealed.shards.length} shards and uploaded ${blobs.size} files. Next: the plan.`,
      "good",
    );
  }

  private async manifest(wallet: Island, files: NamedFile[], graph: NamedFile): Promise<Bytes> {
    const about = ({ path, sha256: digest, bytes }: NamedFile) => ({ path, sha256: digest, bytes });
    const { manifest } = await this.ask(wallet, "/v1/manifest", {
      job_file: this.form.toml(),
      files: files.map(about),
      graph: about(graph),
    });
    const read = JSON.parse(manifest);
    const same =
      JSON.stringify(read.files.map((f: any) => f.sha256).sort()) ===
      JSON.stringify(files.map((f) => f.sha256).sort());
    if (!same || read.graph.sha256 !== graph.sha256)
      throw new wallet.Problem(
        tr("The service described another task than this one"),
        "wrong_answer",
        tr("use the command line, and tell the operator"),
      );
    return utf8(manifest);
  }

  private async uploadTo(wallet: Island, sender: Sender, store: string, blobs: Blob_[]): Promise<void> {
    const base = store.replace(/\/$/, "");
    const expires = Math.floor(Date.now() / 1000) + LIFETIME_S;
    const lines = blobs.map(({ id, data }) => `\n${id} ${data.length}`).join("");
    const text = `Heldout uploads\nstore: ${base}\nexpires: ${expires}${lines}`;
    wallet.say(
      tr`Waiting for your wallet: it signs that ${blobs.length} files may be kept by ${base}. This costs nothing.`,
    );
    const signature = await sender.chain.provider.request({
      method: "personal_sign",
      params: [`0x${hex(utf8(text))}`, sender.account],
    });
    const list = blobs.map(({ id, data }) => `${id}:${data.length}`).join(",");
    const headers = {
      "Heldout-Upload": `${sender.account} ${expires} ${signature} ${list}`,
      "Content-Type": "application/octet-stream",
    };
    for (const [n, { id, data }] of blobs.entries()) {
      wallet.say(tr`Uploading ${n + 1} of ${blobs.length}…`);
      const answer = await fetch(`${base}/v1/blobs/${id}`, { method: "PUT", headers, body: data }).catch(() => null);
      if (!answer?.ok) {
        const said = await answer?.json().catch(() => null);
        throw new wallet.Problem(
          tr`${base} did not take a file: ${said?.detail ?? tr("no answer")}`,
          said?.code ?? "store_unavailable",
          said?.hint ?? tr("try again; what is there already is not sent twice"),
        );
      }
    }
  }

  // Nothing is posted before the keeper has said that it has the keys.
  private async handKeys(wallet: Island): Promise<void> {
    const keeper = this.keeper();
    if (!keeper) return;
    wallet.say(tr`Handing the keys to the keeper at ${keeper.url}…`);
    const line = await handOver(this.loan!, unhex(keeper.wrapKey));
    const headers = { "Content-Type": "application/json" };
    const request = { method: "PUT", headers, body: JSON.stringify({ line }) };
    const answer = await fetch(`${keeper.url}/v1/keys`, request).catch(() => null);
    const told = await answer?.json().catch(() => null);
    if (!answer?.ok || String(told?.kept_for).toLowerCase() !== this.loan!.address.toLowerCase())
      throw new wallet.Problem(
        tr`The keeper did not take the keys: ${told?.detail ?? tr("no answer")}`,
        told?.code ?? "keeper_unavailable",
        told?.hint ?? tr("choose another, or your own machine"),
      );
  }

  private async ask(wallet: Island, path: string, body: unknown): Promise<any> {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!answer.ok)
      throw new wallet.Problem(told.detail ?? tr`status ${answer.status}`, told.code ?? "failed", told.hint ?? "");
    return told;
  }

  private async plan(wallet: Island, sender: Sender): Promise<void> {
    this.forgetPlan();
    const { loan, sealed } = this;
    if (!loan || !sealed) throw new wallet.Problem(tr("Nothing is sealed yet"), "no_keys", tr("seal and upload first"));
    const [wrap_key, salt, root] = [loan.wrapKey, loan.salt, sealed.root].map((part) => `0x${hex(part)}`);
    const draft = {
      requester: sender.account,
      wrap_key,
      salt,
      root,
      task: this.task,
      shard_bytes: sealed.shardBytes,
      rows: sealed.rows,
    };
    const planned: Planned = await this.ask(wallet, "/v1/plan", { ...draft, job_file: this.form.toml() });
    const { terms } = planned;
    const expected = {
      requester: sender.account,
      wrapKey: wrap_key,
      salt,
      dataRoot: root,
      taskHash: this.task,
      shardBytes: sealed.shardBytes,
    };
    for (const [name, value] of Object.entries(expected))
      if (String(terms[name]).toLowerCase() !== String(value).toLowerCase())
        throw new wallet.Problem(
          tr`The service answered with another ${name} than this page's`,
          "wrong_answer",
          tr("use the command line, and tell the operator"),
        );
    this.planned = planned;
    place("plan").textContent = planned.lines.join("\n");
    place("sign").hidden = false;
    wallet.say(tr("This is what `heldout job post --dry-run` says. Nothing was sent."), "good");
  }

  private async sign(wallet: Island, sender: Sender): Promise<void> {
    const { planned } = this;
    if (!planned) throw new wallet.Problem(tr("There is no plan yet"), "no_plan", tr("show the plan first"));
    await sender.onOurChain();
    const terms = wallet.termsOf(planned.terms);
    const escrow: bigint = terms.lanes * terms.priceCap + terms.committee * terms.fee + terms.bond;
    const free: bigint = await sender.chain.market("free", sender.account);
    const post = wallet.onMarket(sender.chain.network, "post", terms);
    const together = escrow > free && (await sender.batches());
    const deposit = escrow > free ? await sender.depositing(escrow - free, together) : [];
    if (!deposit) return wallet.say(tr("Nothing was sent."));
    const about = {
      title: tr("Post the job"),
      costs: tr`${wallet.tokens(escrow)} tokens are escrowed: you can never pay more than this`,
      risks: this.keeper()
        ? tr`your bond of ${wallet.tokens(terms.bond)} if the keeper is late, or your wallet answers no demand in time`
        : tr`your bond of ${wallet.tokens(terms.bond)} if keys are late: keep \`heldout requester run\` running`,
    };
    if (!(await sender.send(about, [...deposit, post], together))) return;
    this.posted();
    this.done("do-post", true);
    place("sign").hidden = true;
    wallet.say(tr("Posted. Waiting until this service has seen it…"));
    await indexed(planned.job);
    const link = wallet.element("a", { href: `/jobs/${planned.job}`, class: "button first" }, tr("See the job"));
    place("sign").replaceWith(link);
    wallet.say(
      this.keeper()
        ? tr("Posted. The keeper releases the keys; bids are accepted, and demands answered, on the job's page.")
        : tr("Posted. `heldout requester run` takes it from here; you may close this page."),
      "good",
    );
    link.focus();
  }
}
