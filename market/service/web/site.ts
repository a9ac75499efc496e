// What every page gets once scripts run: buttons that copy, times that tick, and rows that follow the chain.
// The page is whole without it.

import { dock } from "./ask";
import { tr } from "./words";

const SECOND = 1000;
const QUIET_MS = 400; // events come in flocks: one look at the page is enough for all of them

function copyButtons(within: ParentNode): void {
  for (const place of within.querySelectorAll<HTMLElement>("[data-copy]:not(:has(> .copy))")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = tr("copy");
    button.setAttribute("aria-label", tr`copy ${place.dataset.copy}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(place.dataset.copy ?? "");
      button.textContent = tr("copied");
      setTimeout(() => (button.textContent = tr("copy")), 2 * SECOND);
    });
    place.append(button);
  }
}

// ------------------------------------------------------------------------------------------------------- times

const UNITS: [string, number][] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function span(seconds: number): string {
  const parts: string[] = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

// Deadlines are in block time; the page says what it was when it was made, and time passes alike everywhere.
function tick(within: ParentNode, now: number): void {
  for (const time of within.querySelectorAll<HTMLTimeElement>("time[data-at]")) {
    const left = Number(time.dataset.at) - now;
    time.textContent = left >= 0 ? tr`in ${span(left)}` : tr`${span(-left)} ago`;
  }
}

function startClock(): void {
  const made = Number(document.documentElement.dataset.now);
  if (!made) return;
  const opened = performance.now();
  setInterval(() => tick(document, made + (performance.now() - opened) / SECOND), SECOND);
}

// ---------------------------------------------------------------------------------------------------- live rows

// The page is fetched again and the parts that have an id are put in place of the old ones. Parsed, never run.
async function refresh(main: HTMLElement): Promise<void> {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of main.querySelectorAll<HTMLElement>(":scope > [id]:not([data-acts])")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || old.contains(document.activeElement) || fresh.isEqualNode(stripped(old))) continue;
    for (const detail of old.querySelectorAll<HTMLDetailsElement>("details[open]")) {
      const same = [...fresh.querySelectorAll("details")][[...old.querySelectorAll("details")].indexOf(detail)];
      if (same) same.open = true;
    }
    copyButtons(fresh);
    old.replaceWith(document.adoptNode(fresh));
    fresh.classList.add("fresh");
  }
  document.dispatchEvent(new Event("heldout:refreshed"));
}

function stripped(element: Element): Element {
  const copy = element.cloneNode(true) as Element;
  copy.querySelectorAll(".copy").forEach((button) => button.remove());
  copy.classList.remove("fresh");
  return copy;
}

function follow(main: HTMLElement): void {
  const { after = "", job = "" } = main.dataset;
  const events = new EventSource(`/v1/events?${new URLSearchParams({ job, after, plain: "true" })}`);
  let waiting: number | undefined;
  events.onmessage = () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => void refresh(main), QUIET_MS);
  };
  addEventListener("pagehide", () => events.close());
}

// ------------------------------------------------------------------------------------------------------ wallet

// The wallet's code is fetched when somebody wants it, or had it connected on the visit before.
function walletButton(): void {
  const place = document.getElementById("wallet");
  if (!place?.dataset.island) return;
  const load = (): Promise<typeof import("./wallet")> => import(place.dataset.island!);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = tr("Connect wallet");
  button.addEventListener("click", async () => {
    button.disabled = true;
    const { connect, refresh, run } = await load();
    await run(connect);
    await refresh();
  });
  place.replaceChildren(button);
  if (localStorage.getItem("heldout.wallet")) void load().then(({ resume, run }) => run(resume));
}

copyButtons(document);
startClock();
walletButton();
const island = document.querySelector<HTMLElement>("[data-wizard]")?.dataset.wizard;
if (island) void import(island);
dock();
document.querySelectorAll<HTMLFormElement>("form[data-filters]").forEach((form) => {
  form.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });
});
const live = document.querySelector<HTMLElement>("main[data-live]");
if (live) follow(live);
