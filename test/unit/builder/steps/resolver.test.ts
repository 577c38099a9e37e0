import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ownText, Resolver, standInText } from '../../../../src/builder/steps/resolver.ts';
import { tempRoot } from '../../../helpers/temp-root.ts';

const host = '# of this machine\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch corp.example\noptions edns0\n';

/** Runs shell scripts one after the other, each as a step with the network; they see the tree's /etc as `etc`. */
async function afterSteps(own: string | null, ...scripts: string[]): Promise<string | null> {
  const root = tempRoot({ 'etc/other': '' });
  const file = path.join(root, 'etc/resolv.conf');
  if (own !== null) writeFileSync(file, own);
  for (const script of scripts) {
    const resolver = new Resolver(root, host);
    await resolver.enter();
    execFileSync('bash', ['-euc', script], { cwd: root });
    await resolver.leave();
  }
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return null;
  return lstatSync(file).isSymbolicLink() ? `-> ${readlinkSync(file)}` : readFileSync(file, 'utf8');
}

describe('what a step makes of /etc/resolv.conf it makes of the own one of the tree', () => {
  const added = "echo 'nameserver 9.9.9.9' >>etc/resolv.conf";
  test.each<[name: string, own: string | null, scripts: string[], result: string | null]>([
    ['nothing', 'nameserver 1.1.1.1\n', [':'], 'nameserver 1.1.1.1\n'],
    ['nothing, and there is none', null, [':'], null],
    ['a name server is there', '', ['grep -q "^nameserver 192.0.2.53" etc/resolv.conf'], ''],
    ['a line is added', '', [added], 'nameserver 9.9.9.9\n'],
    ['a line is added, and there is none', null, [added], 'nameserver 9.9.9.9\n'],
    ['lines are added by two steps', '', [added, "echo 'search example' >>etc/resolv.conf"], 'nameserver 9.9.9.9\nsearch example\n'],
    ['an earlier line is seen', '', [added, `grep -q 9.9.9.9 etc/resolv.conf || ${added}`], 'nameserver 9.9.9.9\n'],
    ['a line is put before all others', 'search a\n', ["sed -i '1i nameserver 9.9.9.9' etc/resolv.conf"], 'nameserver 9.9.9.9\nsearch a\n'],
    ['it is written over', 'search a\n', ["echo 'nameserver 9.9.9.9' >etc/resolv.conf"], 'nameserver 9.9.9.9\n'],
    ['it is written over by what the host has', '', ["echo 'nameserver 192.0.2.53' >etc/resolv.conf"], 'nameserver 192.0.2.53\n'],
    ['it is emptied', 'search a\n', [': >etc/resolv.conf'], ''],
    ['it is removed', 'search a\n', ['rm etc/resolv.conf'], null],
    ['it is removed and made anew', '', [`rm etc/resolv.conf; ${added}`], 'nameserver 9.9.9.9\n'],
    ['it becomes a link', '', ['ln -sf ../run/stub.conf etc/resolv.conf'], '-> ../run/stub.conf'],
    ['another file is renamed to it', '', ['echo new >etc/x; mv etc/x etc/resolv.conf'], 'new\n'],
    ['name servers are changed', '', ["sed -i 's/^nameserver.*/nameserver 9.9.9.9/;2d' etc/resolv.conf"], 'nameserver 9.9.9.9\n'],
    ['name servers are removed', 'nameserver 1.1.1.1\nsearch a\n', ["sed -i '/^nameserver/d' etc/resolv.conf"], 'search a\n'],
    ['comments are removed', '# mine\nsearch a\n', ["sed -i '/^#/d' etc/resolv.conf"], 'search a\n'],
    ['its mode alone is changed', 'search a\n', ['chmod 600 etc/resolv.conf'], 'search a\n'],
    ['sed changes nothing', 'search a\n', ["sed -i 's/x/y/' etc/resolv.conf"], 'search a\n'],
  ])('%s', async (_, own, scripts, result) => {
    expect(await afterSteps(own, ...scripts)).toBe(result);
  });

  test('a link comes back, or becomes a file with what was added', async () => {
    for (const script of [':', added]) {
      const root = tempRoot({ 'etc/other': '' });
      symlinkSync('/run/systemd/resolve/stub-resolv.conf', path.join(root, 'etc/resolv.conf'));
      const resolver = new Resolver(root, host);
      await resolver.enter();
      execFileSync('bash', ['-euc', script], { cwd: root });
      await resolver.leave();
      if (script === ':') expect(readlinkSync(path.join(root, 'etc/resolv.conf'))).toBe('/run/systemd/resolve/stub-resolv.conf');
      else expect(readFileSync(path.join(root, 'etc/resolv.conf'), 'utf8')).toBe('nameserver 9.9.9.9\n');
    }
  });

  test('owner, mode and time stay where nothing was changed', async () => {
    const root = tempRoot({ 'etc/resolv.conf': 'search a\n' });
    const file = path.join(root, 'etc/resolv.conf');
    execFileSync('bash', ['-euc', 'chmod 640 "$1"; touch -d @1000 "$1"', 'x', file]);
    const before = lstatSync(file);
    const resolver = new Resolver(root, host);
    await resolver.enter();
    await resolver.leave();
    const after = lstatSync(file);
    expect([after.mode, after.ino, after.mtimeMs]).toEqual([before.mode, before.ino, before.mtimeMs]);
  });

  test('/etc as a link leads nowhere but into the tree, and a tree without it is left alone', async () => {
    const root = tempRoot({ 'system/etc/other': '' });
    symlinkSync('/system/etc', path.join(root, 'etc'));
    const resolver = new Resolver(root, host);
    await resolver.enter();
    expect(existsSync(path.join(root, 'system/etc/resolv.conf'))).toBe(true);
    rmSync(path.join(root, 'system'), { recursive: true });
    await resolver.leave();
    mkdirSync(path.join(root, 'empty'));
    await new Resolver(path.join(root, 'empty'), host).enter();
  });
});

test('a copy of the whole file holds no line of the build', () => {
  expect(ownText(standInText(host, 'search a\n'))).toBe('search a\n');
  expect(standInText(host, '').split('\n')[0]).toBe('nameserver 192.0.2.53 # of the build, gone after this step');
});
