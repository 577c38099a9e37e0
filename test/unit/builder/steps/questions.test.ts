import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Questions, type Reply } from '../../../../src/builder/steps/questions.ts';
import { chrootScripts } from '../../../helpers/chroot-scripts.ts';

/** A step's folders, with pipes; `ask` is the shell's side. */
function start(reply: Reply = async (kind: string, name: string) => (kind === 'file' ? 'ok' : `${name} is wrong`)) {
  const run = chrootScripts();
  const out = path.join(run, 'out');
  execFileSync('mkfifo', ['ask', 'answer'], { cwd: out });
  const asked: string[] = [];
  const questions = new Questions(out, out, async (kind, name) => {
    asked.push(`${kind} ${name}`);
    return reply(kind, name);
  });
  open.push(questions);
  return { run, out, asked, questions };
}
const open: Questions[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((questions) => questions.end()));
});

/** Runs a script beside the builder's side, which is in this process. */
async function shell(run: string, script: string): Promise<{ code: number | null; output: string }> {
  const begin = 'run=$1; source "$run/lib/chroot/lib.sh"; __realmfs_asks=yes __realmfs_asked=0; out=$run/out; ';
  const child = spawn('bash', ['--norc', '-c', `${begin}${script}`, 'bash', run], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}

describe('a step asks the builder', () => {
  test('one after the other, and from many subshells at once', async () => {
    const { run, asked } = start();
    const script =
      'for i in 1 2 3; do __realmfs_ask file "a $i"$\'\\n\'b; done; for i in {1..20}; do (__realmfs_ask file "s$i" && echo "got $i") & done; wait; x=$(__realmfs_ask file sub; echo done)';
    const { code, output } = await shell(run, `${script}; echo "$x"`);
    expect([code, output.match(/^got/gm)?.length, output.trimEnd().split('\n').at(-1)]).toEqual([0, 20, 'done']);
    expect(asked.slice(0, 3)).toEqual(['file a 1\nb', 'file a 2\nb', 'file a 3\nb']);
    expect(new Set(asked).size).toBe(24);
  });

  test('what is wrong ends the step with the words of the builder', async () => {
    const { run } = start(async () => 'is a folder');
    expect((await shell(run, '__realmfs_ask file etc; echo not here')).output).toBe('');
    expect(execFileSync('cat', [path.join(run, 'out/status')], { encoding: 'utf8' })).toContain('install_file: etc is a folder');
  });

  test.each([
    ['garbage', 'head -c 300000 /dev/urandom >"$out/ask"'],
    ['zeros', 'head -c 300000 /dev/zero >"$out/ask"'],
    ['questions without an end', 'head -c 300000 /dev/zero | tr "\\0" x >"$out/ask"; printf "\\0" >"$out/ask"'],
    [
      'answers that nobody reads',
      'for i in {1..20000}; do printf "%s\\0" "answer 1 file x" 1<>"$out/ask"; done; head -c 70000 "$out/answer" >/dev/null & sleep 0',
    ],
    [
      'a pipe of its own that nobody reads',
      'mkfifo "$out/answer.1"; for i in {1..50}; do printf "%s\\0" "answer.1 1 file x" 1<>"$out/ask"; done',
    ],
    [
      'a name that is not UTF-8',
      `printf '%s\\0' $'answer 1 file \\xff' 1<>"$out/ask"; read -r -d "" line <>"$out/answer"; [[ $line == '1 ok' ]]`,
    ],
  ])('%s does not keep the next question from its answer', async (_, script) => {
    const { run } = start();
    expect(await shell(run, `${script}; __realmfs_ask file good && echo answered`)).toEqual({ code: 0, output: 'answered\n' });
  });

  test('an answer goes into pipes only: not into a file, nor through a link', async () => {
    const { run, out } = start();
    const file = path.join(run, 'precious');
    writeFileSync(file, 'precious');
    mkdirSync(path.join(out, 'answer.4'));
    const script = `ln -s "$run/precious" "$out/answer.2"; cp "$run/precious" "$out/answer.3"; for i in 2 3 4 5; do printf '%s\\0' "answer.$i 1 file x" 1<>"$out/ask"; done`;
    expect((await shell(run, `${script}; __realmfs_ask file good; cat "$run/precious" "$out/answer.3"`)).output).toBe('preciousprecious');
    expect(existsSync(path.join(out, 'answer.5'))).toBe(false);
  });

  test('the end does not wait for somebody who goes on asking', async () => {
    const { run, questions, asked } = start();
    const child = spawn('bash', [
      '--norc',
      '-c',
      'while :; do printf "%s\\0" "answer 1 file x" 1<>"$1"; done',
      'bash',
      path.join(run, 'out/ask'),
    ]);
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    open.splice(0);
    await questions.end();
    const count = asked.length;
    child.kill('SIGKILL');
    await new Promise((resolve) => child.on('close', resolve));
    expect(asked.length).toBe(count);
  });
});
