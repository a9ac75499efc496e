/** JSON as /v1/openapi.json describes it. Amounts are decimal text in the token's smallest unit. */
export type Json = Record<string, any>;
export type Page = { cursor?: string; limit?: number };
export type JobFilters = Page & {
  state?: string; outcome?: string; metric?: string; hardware?: string; least?: string; requester?: string;
  provider?: string;
};

export class HeldoutError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly retryable: boolean;
}

export class Heldout {
  constructor(url: string, options?: { fetch?: typeof fetch });
  network(): Promise<Json>;
  statistics(): Promise<Json>;
  errors(): Promise<Json>;
  ask(question: string): Promise<Json>;
  jobs(filters?: JobFilters): Promise<Json>;
  job(id: string): Promise<Json>;
  money(id: string): Promise<Json>;
  jobEvents(id: string, options?: { after?: string }): Promise<Json>;
  manifest(id: string): Promise<Json>;
  readings(id: string): Promise<Json>;
  calls(options?: { after?: number }): Promise<Json>;
  bids(id: string): Promise<Json>;
  records(id: string): Promise<Json>;
  seats(options?: { address?: string }): Promise<Json>;
  providers(page?: Page): Promise<Json>;
  provider(address: string): Promise<Json>;
  validators(page?: Page): Promise<Json>;
  validator(address: string): Promise<Json>;
  accountMoney(address: string, page?: Page): Promise<Json>;
  artifacts(filters?: Page & { maker?: string; owner?: string }): Promise<Json>;
  artifact(id: string): Promise<Json>;
  chain(id: string): Promise<Json>;
  walk(what: "jobs" | "providers" | "validators" | "artifacts", filters?: Json): AsyncGenerator<Json>;
  events(options?: { job?: string; after?: string; signal?: AbortSignal }): AsyncGenerator<Json>;
  signIn(
    address: string, chainId: number, sign: (text: string) => Promise<string> | string, options?: { cookie?: boolean },
  ): Promise<Json>;
  session(): Promise<Json>;
  signOut(): Promise<void>;
  mailbox(options?: { after?: number; job?: string }): Promise<Json>;
  account(): Promise<Json>;
  exportAccount(page?: { cursor?: string }): Promise<Json>;
  eraseAccount(options?: { live?: boolean }): Promise<Json>;
  postLetter(letter: Json, options?: { key?: string }): Promise<Json>;
  taskManifest(draft: Json): Promise<Json>;
  plan(draft: Json): Promise<Json>;
  report(job: string, lane: number, lines: Record<string, number>[], options?: { key?: string }): Promise<Json>;
}
