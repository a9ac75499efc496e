// The whole API of a Heldout market service. What comes back is JSON as /v1/openapi.json describes it.

const STATEMENT = "Sign in to Heldout. This moves no money.";
const LIFETIME_S = 300;

/** A refusal of the service (RFC 9457): `code` is stable, `hint` says what to do, `retryable` whether to try again. */
export class HeldoutError extends Error {
  constructor(problem, status) {
    super(problem.detail ?? `the service answered ${status}`);
    this.name = "HeldoutError";
    this.status = status;
    this.code = problem.code ?? "failed";
    this.hint = problem.hint ?? "";
    this.retryable = problem.retryable ?? status >= 500;
  }
}

export class Heldout {
  #url;
  #fetch;
  #token = "";

  /** `fetch` may be another implementation of it. */
  constructor(url, { fetch = globalThis.fetch } = {}) {
    this.#url = new URL(url).origin;
    this.#fetch = fetch.bind(globalThis);
  }

  // ------------------------------------------------------------------------------------------------ reading

  network() { return this.#get("network"); }
  statistics() { return this.#get("statistics"); }
  errors() { return this.#get("errors"); }
  /** The assistant's answer with its sources, and perhaps a draft of a job.toml. */
  ask(question) { return this.#get("ask", { question }); }
  /** `filters`: state, outcome, metric, hardware, least, requester, provider, cursor, limit. */
  jobs(filters = {}) { return this.#get("jobs", filters); }
  job(id) { return this.#get(`jobs/${id}`); }
  money(id) { return this.#get(`jobs/${id}/money`); }
  jobEvents(id, { after = "" } = {}) { return this.#get(`jobs/${id}/events`, { after }); }
  manifest(id) { return this.#get(`jobs/${id}/manifest`); }
  readings(id) { return this.#get(`jobs/${id}/readings`); }
  calls({ after = 0 } = {}) { return this.#get("calls", { after }); }
  bids(id) { return this.#get(`jobs/${id}/bids`); }
  records(id) { return this.#get(`jobs/${id}/records`); }
  seats({ address = "" } = {}) { return this.#get("seats", { address }); }
  providers(page = {}) { return this.#get("providers", page); }
  provider(address) { return this.#get(`providers/${address}`); }
  validators(page = {}) { return this.#get("validators", page); }
  validator(address) { return this.#get(`validators/${address}`); }
  /** What an address put into jobs and got out of them. */
  accountMoney(address, page = {}) { return this.#get(`accounts/${address}/money`, page); }
  artifacts(filters = {}) { return this.#get("artifacts", filters); }
  artifact(id) { return this.#get(`artifacts/${id}`); }
  chain(id) { return this.#get(`artifacts/${id}/chain`); }

  /** Every row of `jobs`, `providers`, `validators` or `artifacts`, page by page. */
  async *walk(what, filters = {}) {
    let cursor = "";
    while (cursor !== null) {
      const page = await /** @type {any} */ (this)[what]({ ...filters, cursor, limit: 100 });
      yield* page[what];
      cursor = page.next;
    }
  }

  /**
   * Confirmed events after the one with the id `after`, until the line breaks: go on from the last `id`.
   * @param {{ job?: string, after?: string, signal?: AbortSignal }} [about]
   */
  async *events({ job = "", after = "", signal } = {}) {
    const answer = await this.#send("GET", "events", { query: { job, after }, signal });
    if (!answer.body) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      const lines = held.split(/\r?\n/);
      held = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }

  // ---------------------------------------------------------------------------------------- sessions, writing

  /**
   * Sign in with Ethereum (EIP-4361). `sign(text)` gives the wallet's signature, 0x-hex. With `cookie` the session is
   * an httpOnly cookie of the service's own pages, and no script sees the token.
   */
  async signIn(address, chainId, sign, { cookie = false } = {}) {
    const { nonce } = await this.#json("POST", "auth/nonce");
    const now = Math.floor(Date.now() / 1000);
    const time = (seconds) => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
    const message =
      `${new URL(this.#url).host} wants you to sign in with your Ethereum account:\n${address}\n\n${STATEMENT}\n\n` +
      `URI: ${this.#url}\nVersion: 1\nChain ID: ${chainId}\nNonce: ${nonce}\n` +
      `Issued At: ${time(now)}\nExpiration Time: ${time(now + LIFETIME_S)}`;
    const said = await this.#json("POST", "auth/verify", { body: { message, signature: await sign(message), cookie } });
    this.#token = said.token ?? "";
    return said;
  }

  session() { return this.#get("auth/session"); }
  async signOut() {
    await this.#json("DELETE", "auth/session");
    this.#token = "";
  }
  mailbox({ after = 0, job = "" } = {}) { return this.#get("mailbox", { after, job }); }
  /** How much the service holds about the signed-in address that is not on chain. */
  account() { return this.#get("account"); }
  /** One page of all of it. */
  exportAccount({ cursor = "" } = {}) { return this.#get("account/export", { cursor }); }
  /** Erase it; of jobs that are still going on only if `live`. What is on chain stays. */
  eraseAccount({ live = false } = {}) { return this.#json("DELETE", "account", { query: { live } }); }
  /** Leave a letter. `key` is an Idempotency-Key: the same key and letter within a day are left once. */
  postLetter(letter, { key = "" } = {}) { return this.#json("POST", "letters", { body: letter, key }); }
  /** The text of a task's manifest, to be uploaded. */
  taskManifest(draft) { return this.#json("POST", "manifest", { body: draft }); }
  /** A job's terms with every default filled in, and the plan in words. Nothing is sent. */
  plan(draft) { return this.#json("POST", "plan", { body: draft }); }
  report(job, lane, lines, { key = "" } = {}) {
    return this.#json("PUT", `jobs/${job}/lanes/${lane}/readings`, { body: { lines }, key });
  }

  // ------------------------------------------------------------------------------------------------- requests

  #get(path, query = {}) { return this.#json("GET", path, { query }); }

  async #json(method, path, options = {}) {
    const answer = await this.#send(method, path, options);
    return answer.status === 204 ? {} : answer.json();
  }

  /** @param {{ query?: object, body?: unknown, key?: string, signal?: AbortSignal }} [options] */
  async #send(method, path, { query = {}, body, key = "", signal } = {}) {
    const words = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
    /** @type {Record<string, string>} */
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const address = `${this.#url}/v1/${path}${words.length ? `?${new URLSearchParams(words)}` : ""}`;
    const answer = await this.#fetch(address, { method, headers, signal, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new HeldoutError(await answer.json().catch(() => ({})), answer.status);
    return answer;
  }
}
