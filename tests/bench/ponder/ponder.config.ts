import { readFileSync } from "node:fs";
import { createConfig } from "ponder";

const { rpc, chainId, address, startBlock, abi } = JSON.parse(readFileSync(process.env.HELDOUT_BENCH!, "utf8"));

export default createConfig({
  chains: { local: { id: chainId, rpc } },
  contracts: { Market: { abi, chain: "local", address, startBlock } },
});
