// Compiles without optimizer, one request a line, with the compiler kept warm: loading it would cost more than compiling.
// in:  {"sources": {path: text}, "want": {path: ["*"]}, "ast": bool}   (other files are read from the working directory)
// out: {"contracts": {path: {name: {"bytecode", "deployedBytecode"}}}, "asts": {path: tree}} or {"error": text}
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const root = path.join(fs.realpathSync(process.cwd()), 'node_modules');
const solc = require(path.join(root, 'solc'));
const settings = JSON.parse(process.argv[2]);

function findImport(name) {
  try {
    return { contents: fs.readFileSync(name, 'utf8') };
  } catch (problem) {
    return { error: String(problem) };
  }
}

function compile({ sources, want, ast }) {
  const wanted = Object.entries(want).map(([file, names]) => [
    file, { ...Object.fromEntries(names.map((name) => [name, ['evm.bytecode.object', 'evm.deployedBytecode.object']])), ...(ast && { '': ['ast'] }) },
  ]);
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(Object.entries(sources).map(([file, content]) => [file, { content }])),
    settings: { ...settings, outputSelection: Object.fromEntries(wanted) },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
  const error = (output.errors ?? []).find((each) => each.severity === 'error');
  if (error) return { error: error.formattedMessage };
  const code = ({ evm }) => ({ bytecode: evm.bytecode.object, deployedBytecode: evm.deployedBytecode.object });
  const named = (contracts) => Object.fromEntries(Object.entries(contracts).map(([name, each]) => [name, code(each)]));
  return {
    contracts: Object.fromEntries(Object.entries(output.contracts ?? {}).map(([file, each]) => [file, named(each)])),
    asts: ast ? Object.fromEntries(Object.entries(output.sources).map(([file, each]) => [file, each.ast])) : {},
  };
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(compile(JSON.parse(line)))}\n`);
});
