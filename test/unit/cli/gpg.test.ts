import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signCommand, verifyCommand } from '../../../src/cli/image-commands.ts';
import { publish } from '../../../src/cli/publish.ts';
import { held } from '../../helpers/held.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const home = tempRoot();
const folder = path.join(home, 'results');
const keyring = path.join(home, 'keyring.gpg');
const around = { env: { GNUPGHOME: home }, signal: new AbortController().signal };
const gpg = (...args: string[]): Buffer =>
  execFileSync('gpg', ['--batch', '--quiet', ...args], { env: { ...process.env, GNUPGHOME: home }, stdio: ['ignore', 'pipe', 'pipe'] });
const sign = (user: string, file = folder): Promise<string> => signCommand({ file, key: undefined, user }, home, around);
const check = (keys: string | undefined, file = folder): Promise<string> =>
  verifyCommand({ files: [file], key: undefined, keyring: keys }, home, around);

beforeAll(() => {
  execFileSync('chmod', ['700', home]);
  for (const name of ['one', 'two']) gpg('--passphrase', '', '--quick-generate-key', `${name}@mail.example`, 'ed25519', 'sign', 'never');
  writeFileSync(keyring, gpg('--export', 'one@mail.example'));
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'a'), 'a');
  writeFileSync(path.join(folder, 'SHA256SUMS'), 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n');
});
afterAll(() => {
  execFileSync('gpgconf', ['--kill', 'all'], { env: { ...process.env, GNUPGHOME: home } });
});

describe('a signature of SHA256SUMS', () => {
  test('is made, and found good; gpgv alone says so, too', async () => {
    expect(await sign('one@mail.example')).toBe(`${folder}/SHA256SUMS.gpg\n`);
    expect(await check(keyring)).toMatch(/SHA256SUMS: signed by "one@mail\.example"\na: good\n$/);
    execFileSync('gpgv', ['--keyring', keyring, `${folder}/SHA256SUMS.gpg`, `${folder}/SHA256SUMS`], { stdio: 'ignore' });
    expect(await check(undefined)).toContain('signed, by whom was not asked (--keyring)');
    expect(statSync(`${folder}/SHA256SUMS.gpg`).size).toBeGreaterThan(100);
  });

  test('by another key is none', async () => {
    await sign('two@mail.example', path.join(folder, 'SHA256SUMS'));
    await expect(check(keyring)).rejects.toThrow('is no good signature by a key of');
    await sign('one@mail.example');
  });

  test('a key that is not there: nothing is changed', async () => {
    const before = statSync(`${folder}/SHA256SUMS.gpg`).ino;
    await expect(sign('three@mail.example')).rejects.toThrow('could not be signed');
    expect(statSync(`${folder}/SHA256SUMS.gpg`).ino).toBe(before);
    expect(existsSync(`${folder}/.SHA256SUMS.gpg.part`)).toBe(false);
  });

  test('what is no folder of results', async () => {
    await expect(sign('', home)).rejects.toMatchObject({ exitCode: 2 });
    await expect(sign('', path.join(folder, 'a'))).rejects.toMatchObject({ exitCode: 2 });
    await expect(check(keyring, path.join(folder, 'a'))).rejects.toMatchObject({ exitCode: 2 });
  });

  test('stays with the same checksums, and is gone with others', async () => {
    const staging = path.join(home, 'staging');
    mkdirSync(staging);
    const sums = `${staging}/SHA256SUMS`;
    const folders = { staging: await held(staging), output: await held(folder) };
    const options = { ...folders, files: ['SHA256SUMS'], rootfs: false, owner: undefined, known: ['SHA256SUMS'] };
    writeFileSync(sums, 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n');
    await publish(options);
    expect(await check(keyring)).toContain('signed by');
    writeFileSync(sums, `${'0'.repeat(64)}  a\n`);
    await publish(options);
    expect(existsSync(`${folder}/SHA256SUMS.gpg`)).toBe(false);
    await expect(check(keyring)).rejects.toThrow('is not signed');
  });
});
