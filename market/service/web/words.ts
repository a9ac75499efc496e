// What scripts say, in the language that the page is in. English is written where it is said, and is the key by which
// another language's catalogue (market/texts) has it: "{0} of {1}" for tr`${done} of ${all}`.

const address = globalThis.document?.getElementById("wallet")?.dataset.texts;
const told: Record<string, string> = address
  ? await fetch(address).then(
      (answer) => (answer.ok ? answer.json() : {}),
      () => ({}),
    )
  : {};

export function tr(text: string | TemplateStringsArray, ...values: unknown[]): string {
  const key = typeof text === "string" ? text : text.reduce((all, part, i) => `${all}{${i - 1}}${part}`);
  return (told[key] ?? key).replace(/\{(\d+)\}/g, (whole, i) => (i in values ? String(values[Number(i)]) : whole));
}
