import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bare, Machine, type Run } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';
import { OWNER, type Swap, Swapper } from '../helpers/swapper.ts';

const machine = new Machine();
afterAll(() => machine.close());

const asOwner = { SUDO_UID: String(OWNER), SUDO_GID: String(OWNER) };

describe('whoever owns the output folder, or one above it, gets the results and nothing else of root, at whatever event it is swapped', () => {
  function checked(swapper: Swapper, run: Run): void {
    expect(swapper.changes()).toEqual([]);
    expect(swapper.strange()).toBe('');
    expect(run.stderr).not.toContain('internal error');
    expect([0, 2, 3], run.stderr).toContain(run.code);
    if (run.code !== 0)
      expect(run.lastLine).toMatch(
        /moved or replaced|is not the folder that it was|cannot be (?:written|made)|a link of user|replaced by another/,
      );
  }

  // In one of two runs each event is one at which something is swapped; at the next one it is put back.
  test.each<[Swap, number]>([
    ...(['output', 'above', 'staging', 'sister'] as const).flatMap((swap) => [0, 1].map((phase): [Swap, number] => [swap, phase])),
    ['results', 0],
    ['names', 0],
  ])('%s, phase %i', async (swap, phase) => {
    const swapper = new Swapper(path.join(machine.folder, `${swap}-${phase}`), bare);
    const kinds = new Set<string>();
    let events = 0;
    const run = await machine.run(['--no-confirm', '-t', '--progress', 'json'], {
      cwd: swapper.project,
      env: asOwner,
      onStdout: (line) => {
        kinds.add(JSON.parse(line).kind);
        swapper.say((events + phase) % 2 === 0 ? swap : `back ${swap}`);
        events += 1;
      },
    });
    await swapper.settled(swap);
    swapper.close();
    expect([...kinds]).toEqual(expect.arrayContaining(['ready', 'step-start', 'artifact', 'built']));
    checked(swapper, run);
    // It began before the first event.
    expect(run.code).toBe(0);
    const out = path.join(swapper.project, 'realmfs');
    const names = readdirSync(out);
    if (swap === 'output' || swap === 'above')
      expect(names).toEqual(expect.arrayContaining(['realmfs-rootfs.tar', ...records, 'manifest.json']));
    if (names.includes('SHA256SUMS')) machine.shell('cd "$1"; sha256sum --check --quiet --ignore-missing SHA256SUMS', out);
  });

  test.each(['output', 'staging', 'sister'] as const)('%s, again and again, from before the first event on', async (swap) => {
    const swapper = new Swapper(path.join(machine.folder, `loop-${swap}`), bare);
    for (let times = 0; times < 2; times += 1) {
      swapper.say(`loop ${swap}`);
      const run = await machine.run(['--no-confirm', '-t', '--quiet'], { cwd: swapper.project, env: asOwner });
      await swapper.settled(swap);
      checked(swapper, run);
    }
    swapper.close();
  });

  test('the results of a folder that was moved are named where they lie', async () => {
    const swapper = new Swapper(path.join(machine.folder, 'named'), bare);
    const build = machine.start(['--no-confirm', '-t', '--progress', 'plain'], { cwd: swapper.project, env: asOwner });
    await build.step('config');
    swapper.say('output');
    const run = await build.ended;
    await swapper.settled('output');
    swapper.close();
    checked(swapper, run);
    const moved = path.join(swapper.project, 'realmfs.mine');
    const names = ['realmfs-rootfs.tar', ...records, 'SHA256SUMS', 'manifest.json'];
    expect(run.stdout.trimEnd().split('\n')).toEqual(names.map((name) => path.join(moved, name)));
    expect(run.stderr).toContain(`the results lie where the folder has gone: ${moved}\n`);
  });
});
