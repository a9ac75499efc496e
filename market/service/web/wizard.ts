// The post-a-job wizard: a form whose words become a job.toml, data that is sealed here, and one posting at the end.

import { unbase64 } from "./bytes";
import { Form } from "./wizard/form";
import { Posting } from "./wizard/posting";

const KEY = "heldout.draft";
const form = document.getElementById("wizard") as HTMLFormElement;
const steps = [...form.querySelectorAll<HTMLElement>("[data-step]")];
const tabs = [...form.querySelectorAll<HTMLButtonElement>("[data-to]")];
const asked = new Form(form);
let at = 0;

function show(step: number, focus = true): void {
  at = Math.max(0, Math.min(step, steps.length - 1));
  steps.forEach((section, i) => (section.hidden = i !== at));
  tabs.forEach((tab, i) => {
    tab.parentElement!.className = i < at ? "done" : i === at ? "now" : "";
    if (i === at) tab.setAttribute("aria-current", "step");
    else tab.removeAttribute("aria-current");
  });
  const last = at === steps.length - 1;
  document.getElementById("back")!.hidden = at === 0;
  document.getElementById("next")!.hidden = last;
  if (last) posting.review();
  if (focus) steps[at].querySelector<HTMLElement>("h2")!.focus();
}

// Forwards only over steps that are whole; the first field that is not says what it lacks.
function go(step: number): void {
  for (let i = at; i < step; i++) {
    const lacking = [...steps[i].querySelectorAll<HTMLInputElement>("input, select")].find(
      (each) => !each.checkValidity(),
    );
    if (!lacking) continue;
    show(i, false);
    lacking.reportValidity();
    return;
  }
  show(step);
}

function keep(): void {
  localStorage.setItem(KEY, JSON.stringify(asked.values()));
}

const posting = new Posting(asked, () => localStorage.removeItem(KEY));
tabs.forEach((tab) => tab.addEventListener("click", () => go(Number(tab.dataset.to))));
document.getElementById("back")!.addEventListener("click", () => show(at - 1));
document.getElementById("next")!.addEventListener("click", () => go(at + 1));
document.getElementById("clear")!.addEventListener("click", () => {
  localStorage.removeItem(KEY);
  form.reset();
  location.reload();
});
form.addEventListener("input", keep);
form.addEventListener("submit", (event) => event.preventDefault());
try {
  asked.fill(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
} catch {
  localStorage.removeItem(KEY);
}
asked.fill(Object.fromEntries(new URLSearchParams(location.search)));
const draft = new URLSearchParams(location.search).get("draft");
try {
  if (draft) asked.fillToml(new TextDecoder().decode(unbase64(draft)));
} catch {
  // an address that somebody cut: the form is filled in by hand
}
form.hidden = false;
show(0, false);
