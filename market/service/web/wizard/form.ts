// The form as a job.toml: the service reads that with the command line's own reader, so its rules are there alone.

import { Bytes, hex, sha256 } from "../bytes";
import { Table, join, read, rowsOf } from "./rows";
import { repeated } from "./sealing";
import { tr } from "../words";

export interface NamedFile {
  path: string;
  sha256: string;
  bytes: number;
  data: Bytes;
}

const bytesOf = async (file: File): Promise<Bytes> => new Uint8Array(await file.arrayBuffer());

async function named(file: File): Promise<NamedFile> {
  const data = await bytesOf(file);
  return { path: file.name, sha256: hex(await sha256(data)), bytes: data.length, data };
}

export class Form {
  table: Table | null = null;
  dropped: number[] = [];

  constructor(private readonly form: HTMLFormElement) {
    this.input("data-files").addEventListener("change", () => void this.look());
  }

  private input(id: string): HTMLInputElement {
    return this.form.querySelector<HTMLInputElement>(`#${id}`)!;
  }

  private fields(): (HTMLInputElement | HTMLSelectElement)[] {
    return [...this.form.querySelectorAll<HTMLInputElement>("[data-kind]")];
  }

  values(): Record<string, string> {
    return Object.fromEntries(this.fields().map((each) => [each.name, each.value]));
  }

  fill(values: Record<string, unknown>): void {
    for (const each of this.fields())
      if (typeof values[each.name] === "string") each.value = values[each.name] as string;
  }

  // A draft that the assistant wrote: one key a line, values as JSON writes them.
  fillToml(text: string): void {
    let section = "";
    const values: Record<string, string> = {};
    for (const line of text.split("\n")) {
      section = /^\[(\w+)\]/.exec(line)?.[1] ?? section;
      const [, key, value] = /^(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|\[[^\]]*\]|[0-9.]+)/.exec(line) ?? [];
      if (!key) continue;
      const read = JSON.parse(value);
      values[`${section}.${key}`] = Array.isArray(read) ? read.map((word) => JSON.stringify(word)).join(" ") : String(read);
    }
    this.fill(values);
  }

  get shards(): number {
    return Number(this.input("data-shards").value || this.input("data-shards").placeholder);
  }

  toml(): string {
    const graph = this.input("task-graph").files?.[0]?.name ?? "model.onnx";
    const sections = new Map<string, string[]>([
      ["task", [`graph = ${JSON.stringify(graph)}`]],
      ["data", ['path = "data"']],
    ]);
    for (const each of this.fields()) {
      if (!each.value.trim()) continue;
      const [section, key] = each.name.split(".");
      const line = `${key} = ${this.literal(each)}`;
      sections.set(section, [...(sections.get(section) ?? []), line]);
    }
    return [...sections].map(([name, lines]) => `[${name}]\n${lines.join("\n")}\n`).join("\n");
  }

  private literal(each: HTMLInputElement | HTMLSelectElement): string {
    const value = each.value.trim();
    const kind = each.dataset.kind;
    if (kind === "WORDS") return JSON.stringify(words(value));
    if (kind === "COUNT" && /^[0-9]+$/.test(value)) return value;
    if ((kind === "SCORE" || kind === "SHARE") && /^[0-9]+([.][0-9]+)?$/.test(value)) return value;
    return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  }

  async files(): Promise<NamedFile[]> {
    return Promise.all([...(this.input("task-files").files ?? [])].map(named));
  }

  async graph(): Promise<NamedFile> {
    return named(this.input("task-graph").files![0]);
  }

  // What the data files hold, said at once; rows that repeat have to be left out by choice.
  private async look(): Promise<void> {
    const place = this.form.querySelector<HTMLElement>("#data-found")!;
    const input = this.input("data-files");
    this.table = null;
    try {
      const files = [...(input.files ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
      const table = join(await Promise.all(files.map(async (file) => read(await bytesOf(file)))));
      const again = await repeated(table);
      this.table = table;
      this.dropped = again;
      place.textContent = tr`${rowsOf(table)} rows of ${table.x.shape.slice(1).join(" × ") || "one"} values.`;
      input.setCustomValidity("");
      if (again.length) this.askToDrop(place, input, again.length);
    } catch (error) {
      place.textContent = (error as Error).message;
      input.setCustomValidity((error as Error).message);
    }
  }

  private askToDrop(place: HTMLElement, input: HTMLInputElement, count: number): void {
    const box = document.createElement("input");
    box.type = "checkbox";
    const label = document.createElement("label");
    label.append(
      box,
      tr` Leave out ${count} rows that repeat the x of another: a held-out row must not be in a training shard.`,
    );
    const judge = () =>
      input.setCustomValidity(box.checked ? "" : tr("Some rows repeat the x of another: leave them out, below."));
    box.addEventListener("change", judge);
    judge();
    place.append(label);
  }
}

// Words of a command: split at spaces, unless they are quoted.
export function words(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double?.replace(/\\(.)/g, "$1") ?? single ?? bare,
  );
}
