#!/usr/bin/env node
// The gate. Modules are linked before any of them runs, so on an old Node the program itself would
// end with a stack. This file imports nothing until Node's version is known, and is written in what
// Node 14 reads: no await at the top level, no `?.`, no `??`.
const FLOOR = [20, 19] as const;
const found = process.versions.node;
const [major = 0, minor = 0] = found.split('.').map(Number);

if (major > FLOOR[0] || (major === FLOOR[0] && minor >= FLOOR[1])) {
  // A fault in there is reported by main.ts itself, or by Node.
  void import('./main.ts');
} else {
  process.stderr.write(`realmfs-builder: error: preflight: Node ${found} is too old: ${FLOOR.join('.')} or later is needed\n`);
  process.exitCode = 3;
}
