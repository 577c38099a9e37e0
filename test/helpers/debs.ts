import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** What a package file of the tests is made of. */
export interface DebOptions {
  readonly version?: string;
  readonly arch?: string;
  readonly depends?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly postinst?: string;
  readonly conffiles?: readonly string[];
}

/** Makes a package file and returns its bytes. */
export function makeDeb(
  name: string,
  { version = '1.0', arch = 'all', depends, files = {}, postinst, conffiles = [] }: DebOptions = {},
): Buffer {
  const folder = mkdtempSync(path.join(tmpdir(), 'deb-'));
  try {
    const tree = path.join(folder, 'tree');
    const write = (file: string, text: string, mode: number): void => {
      mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
      writeFileSync(path.join(tree, file), text, { mode });
    };
    const fields = [
      `Package: ${name}`,
      `Version: ${version}`,
      `Architecture: ${arch}`,
      'Maintainer: Test <test@mirror.example>',
      ...(depends === undefined ? [] : [`Depends: ${depends}`]),
      'Description: for tests',
    ];
    write('DEBIAN/control', `${fields.join('\n')}\n`, 0o644);
    for (const [file, text] of Object.entries(files)) write(file, text, file.includes('bin/') ? 0o755 : 0o644);
    if (conffiles.length > 0) write('DEBIAN/conffiles', conffiles.map((file) => `${file}\n`).join(''), 0o644);
    if (postinst !== undefined) write('DEBIAN/postinst', `#!/bin/sh\nset -e\n${postinst}\n`, 0o755);
    const out = path.join(folder, 'out.deb');
    execFileSync('dpkg-deb', ['--root-owner-group', '-Zxz', '-z1', '--nocheck', '--build', tree, out], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A package file with a member that leads out of the root. */
export function makeLeadingDeb(name: string): Buffer {
  const folder = mkdtempSync(path.join(tmpdir(), 'deb-'));
  try {
    writeFileSync(path.join(folder, 'good.deb'), makeDeb(name));
    const script =
      'ar x good.deb; rm data.tar.*; echo out >evil; tar --create --absolute-names --transform="s,^evil,../../../../../../canary-of-deb," --file=data.tar evil; xz data.tar; ar r out.deb debian-binary control.tar.xz data.tar.xz 2>/dev/null';
    execFileSync('bash', ['-euc', script], { cwd: folder });
    return readFileSync(path.join(folder, 'out.deb'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
