#!/bin/sh
# Compile, test, deploy with `brownie run`, and check what was deployed. `../run brownie` makes the environment first.
set -eu
cd "$(dirname "$0")"
heldout=$(cd .. && pwd)/.venv/bin/heldout
. ./environment

free_port() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Brownie starts this one itself, at a port nobody listens at.
brownie networks modify development port="$(free_port)" >/dev/null
brownie test

port=$(free_port)
anvil --silent --host 127.0.0.1 --port "$port" --block-base-fee-per-gas 0 &
anvil=$!
trap 'kill $anvil' EXIT
until cast chain-id --rpc-url "http://127.0.0.1:$port" >/dev/null 2>&1; do
    kill -0 $anvil  # ends the script if anvil ended
    sleep 0.2
done
rm -rf build/deployments  # of an earlier run, whose chain is gone
brownie networks delete anvil-lane >/dev/null 2>&1 || true
brownie networks add Ethereum anvil-lane host="http://127.0.0.1:$port" chainid=31337 >/dev/null
python - "$HOME/.brownie/accounts/lane.json" <<'PYTHON'
"""The first of anvil's public keys as a V3 keystore, as `brownie accounts import` would write it."""
import json, sys
from eth_account import Account

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
with open(sys.argv[1], "w") as file:
    json.dump(Account.encrypt(KEY, "play money", iterations=4096), file)
PYTHON
DEPLOYER_PASSWORD="play money" brownie run deploy main lane --network anvil-lane
"$heldout" network verify --network build/network.json
