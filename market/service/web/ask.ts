// The dock: answers in place what its form would open a page for. Everything that comes back is put in as text.

type Answer = { text: string; sources: string[]; mode: string; draft: { price: string; wizard: string } | null };

function piece(kind: string, words: string, name = ""): HTMLElement {
  const element = document.createElement(kind);
  element.textContent = words;
  if (name) element.className = name;
  return element;
}

function shown(answer: Answer, words: DOMStringMap): HTMLElement[] {
  const parts: HTMLElement[] = [];
  if (answer.draft) {
    const link = piece("a", words.draft ?? "", "button") as HTMLAnchorElement;
    // The service's own path only, whatever an answer says.
    link.href = new URL(answer.draft.wizard, location.origin).pathname === "/post" ? answer.draft.wizard : "/ask";
    parts.push(piece("p", answer.draft.price), link); // above a text that may be longer than the dock
  }
  parts.push(piece("pre", answer.text, "said"));
  if (answer.sources.length) {
    const list = piece("ul", "");
    list.setAttribute("aria-label", words.sources ?? "");
    for (const source of answer.sources) {
      const item = piece("li", "");
      item.append(piece("cite", source));
      list.append(item);
    }
    parts.push(list);
  }
  parts.push(piece("p", answer.mode, "note"));
  return parts;
}

export function dock(): void {
  const form = document.querySelector<HTMLFormElement>(".dock form");
  const place = document.querySelector<HTMLElement>(".dock .answer");
  if (!form || !place) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = String(new FormData(form).get("question") ?? "");
    place.replaceChildren(piece("p", form.dataset.waiting ?? "", "note"));
    try {
      const answer = await fetch(`/v1/ask?${new URLSearchParams({ question })}`);
      if (!answer.ok) throw new Error(String(answer.status));
      place.replaceChildren(...shown((await answer.json()) as Answer, form.dataset));
    } catch {
      place.replaceChildren(piece("p", form.dataset.failed ?? "", "note"));
    }
  });
}
