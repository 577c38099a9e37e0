import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { version } from '../../src/resources.ts';

const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');

/** The compiled command under a Node that says that it is of this version. */
function under(fake: string, ...args: string[]) {
  const preload = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${fake}' } })`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', `data:text/javascript,${preload}`, cli, ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test.each(['14.0.0', '18.20.4', '20.18.3'])('Node %s is refused in one line, whatever was asked for', (fake) => {
  const stderr = `realmfs-builder: error: preflight: Node ${fake} is too old: 20.19 or later is needed\n`;
  for (const args of [[], ['--version'], ['--no-confirm', '-t']]) expect(under(fake, ...args)).toEqual({ status: 3, stdout: '', stderr });
});

test.each(['20.19.0', '20.20.1', '22.0.0', '100.1.0'])('Node %s is let in', (fake) => {
  expect(under(fake, '--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
});
