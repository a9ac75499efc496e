// Wallets announce themselves (EIP-6963); an older one that only fills window.ethereum (EIP-1193) is taken too.
import { tr } from "../words";

export interface Provider {
  request(what: { method: string; params?: unknown }): Promise<any>;
  on?(event: string, listener: (value: any) => void): void;
}

export interface Announced {
  id: string; // reverse domain name: the same in every session
  name: string;
  icon: string;
  provider: Provider;
}

const PATIENCE_MS = 150;
const found = new Map<string, Announced>();

addEventListener("eip6963:announceProvider", (event) => {
  const { info, provider } = (event as CustomEvent).detail ?? {};
  if (typeof info?.rdns !== "string" || typeof provider?.request !== "function") return;
  const icon = /^data:image\//.test(info.icon) ? info.icon : "";
  found.set(info.uuid ?? info.rdns, { id: info.rdns, name: String(info.name).slice(0, 60), icon, provider });
});

export async function wallets(): Promise<Announced[]> {
  dispatchEvent(new Event("eip6963:requestProvider"));
  await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const old = (window as any).ethereum as Provider | undefined;
  if (!found.size && old?.request)
    return [{ id: "window.ethereum", name: tr("Browser wallet"), icon: "", provider: old }];
  return [...found.values()];
}
