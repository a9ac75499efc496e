// Elements made of text: nothing that a stranger wrote is ever parsed as markup.
import { tr } from "../words";

type Child = Node | string | null | undefined | false;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | boolean | (() => unknown)> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, () => void value());
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child): child is Node | string => Boolean(child)));
  return made;
}

export function table(rows: [string, string][]): HTMLElement {
  const list = rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  return element("dl", { class: "facts" }, ...list);
}

// A dialog that holds the keyboard until it is answered; Escape says no.
export function dialog(title: string, body: Child[], yes: string, no = tr("Cancel")): Promise<boolean> {
  return new Promise((resolve) => {
    const heading = element("h2", { id: "dialog-title" }, title);
    const form = element(
      "form",
      { method: "dialog" },
      heading,
      ...body,
      element(
        "p",
        { class: "choices" },
        yes && element("button", { class: "button first", value: "yes" }, yes),
        element("button", { value: "no" }, no),
      ),
    );
    const box = element("dialog", { "aria-labelledby": "dialog-title" }, form);
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "yes");
    });
    document.body.append(box);
    box.showModal();
  });
}

// What happened, for eyes and for screen readers, at one place of every page.
export function say(text: string, kind: "plain" | "good" | "bad" = "plain"): void {
  let place = document.getElementById("said");
  if (!place) {
    place = element("div", { id: "said", role: "status", "aria-live": "polite" });
    document.body.append(place);
  }
  place.className = kind;
  const close = element(
    "button",
    { type: "button", "aria-label": tr("close this message"), click: () => place.replaceChildren() },
    "×",
  );
  place.replaceChildren(...(text ? [element("p", {}, text), close] : []));
}
