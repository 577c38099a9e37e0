import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** An authority of the tests' own, and a server that it vouches for. */
export interface Authority {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly server: { readonly key: string; readonly cert: string };
}

/** Makes an authority that vouches for a server of this name. */
export function makeAuthority(name: string): Authority {
  const folder = mkdtempSync(path.join(tmpdir(), 'authority-'));
  try {
    const script = `
      new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
      new -x509 -days 2 -keyout ca.key -out ca.crt -subj "/CN=Authority of tests"
      new -keyout server.key -out server.csr -subj "/CN=$1"
      openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 2 -out server.crt -extfile names 2>/dev/null`;
    writeFileSync(path.join(folder, 'names'), `subjectAltName=DNS:${name}\n`);
    execFileSync('bash', ['--norc', '-euc', script, 'authority', name], { cwd: folder });
    const read = (file: string): string => readFileSync(path.join(folder, file), 'utf8');
    return { certificate: read('ca.crt'), key: read('ca.key'), server: { key: read('server.key'), cert: read('server.crt') } };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
