import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Customisation } from '../../customize/customisation.ts';
import type { PlacedEntry, Placement } from '../../customize/placement.ts';
import { BuilderError } from '../../errors.ts';
import { copyForeign } from '../../system/files.ts';
import { bytesOf } from '../../system/names.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { StepSource } from '../model/plan.ts';
import { linkFree } from '../project/project-file.ts';
import type { StepRunner } from './step-runner.ts';

/** Files beside a script, by their names in its `in/` folder. */
type Files = Record<string, string>;

/** Copies folders of the project onto the root, and answers for debconf into its database. */
export class Folders {
  readonly #customisation: Customisation;
  readonly #runner: StepRunner;
  readonly #ctx: BuildContext;
  /** What was placed before the packages: the `out/` folder of the last script that looked at it. */
  readonly #placed = new Map<Placement, string>();

  constructor(customisation: Customisation, runner: StepRunner, ctx: BuildContext) {
    this.#customisation = customisation;
    this.#runner = runner;
    this.#ctx = ctx;
  }

  /** Runs one such step. */
  async run({ name, origin }: StepSource): Promise<void> {
    if (origin === 'preseed') {
      const { preseeds } = this.#customisation;
      const files: Files = { count: await this.#text('count', String(preseeds.length)) };
      for (const [at, file] of preseeds.entries()) files[`answers-${at}`] = await linkFree(path.join(paths.project, file));
      await this.#runner.script('preseed.sh', { files });
      return;
    }
    const { before, after } = this.#customisation;
    const placement = [...before, ...after].find(({ folder }) => folder === name);
    if (placement === undefined) throw new BuilderError(`there is no folder ${name}`);
    this.#ctx.steps.note(`${placement.entries.length} entries of ${name} are copied onto the root`);
    this.#placed.set(placement, await this.#script('place', placement));
  }

  /** Before the packages: looks at what modules and hooks have made of the files. */
  async remember(): Promise<void> {
    for (const placement of this.#customisation.before) {
      const before = await this.#handedBack(this.#placed.get(placement) ?? '', ['places']);
      const out = await this.#script('remember', placement, before);
      this.#placed.set(placement, out);
      const changed = (await this.#runner.handedBack(`${out}/changed`)).split('\0').slice(0, -1);
      for (const file of changed)
        this.#ctx.steps.note(`${path.join(placement.folder, file)} was changed before the packages, by a hook or module, and stays so`);
    }
  }

  /** After the packages: puts back what a package has replaced, and says what has changed beside. */
  async putBack(): Promise<void> {
    for (const placement of this.#customisation.before) {
      const was = this.#placed.get(placement) ?? '';
      const files = await this.#handedBack(was, ['places', 'changed', 'changed.tar']);
      const out = await this.#script('put-back', placement, files);
      const fields = (await this.#runner.handedBack(`${out}/report`)).split('\0').slice(0, -1);
      for (let at = 0; at < fields.length; at += 2) {
        const [what = '', file = ''] = fields.slice(at, at + 2);
        const shown = path.join(placement.folder, file);
        this.#ctx.steps.note(
          what === 'changed'
            ? `${shown} was changed by the packages' scripts, and stays as they have left it`
            : `${shown} was replaced by the package ${what.slice('back '.length)}, and is put back`,
        );
      }
    }
  }

  /** Files that an earlier script has left: programs of the tree have written them, and may have made anything. */
  async #handedBack(out: string, names: readonly string[]): Promise<Files> {
    const files: Files = {};
    for (const name of names) {
      const file = path.join(paths.work, `folder-was-${name}`);
      if (!(await copyForeign(path.join(out, name), file)))
        throw new BuilderError(`a script has left no file ${name} behind`, { step: this.#ctx.steps.current });
      files[name] = file;
    }
    return files;
  }

  async #script(phase: string, { folder, entries }: Placement, before: Files = {}): Promise<string> {
    const runs: { owner: string; names: string[] }[] = [];
    const owned: string[] = [];
    const ownerOf = ({ uid, gid, mode }: PlacedEntry): string => `${uid} ${gid} ${mode?.toString(8) ?? '-'}`;
    // Folders come before what lies in them; names of one file stay together.
    for (const entry of entries.filter(({ kind }) => kind === 'folder')) {
      const owner = ownerOf(entry);
      if (runs.at(-1)?.owner !== owner) runs.push({ owner, names: [] });
      runs.at(-1)?.names.push(`./${entry.path}\0`);
      if (entry.isOwned) owned.push(`${owner}\0./${entry.path}\0`);
    }
    const files = entries.filter(({ kind }) => kind !== 'folder');
    for (const owner of new Set(files.map(ownerOf)))
      runs.push({ owner, names: files.filter((entry) => ownerOf(entry) === owner).map((entry) => `./${entry.path}\0`) });
    const input: Files = { ...before, runs: await this.#text('runs', runs.map(({ owner }) => `${owner}\n`).join('')) };
    for (const [at, { names }] of runs.entries()) input[`run-${at}`] = await this.#text(`run-${at}`, names.join(''));
    input.owned = await this.#text('owned', owned.join(''));
    const env = { REALMFS_FOLDER: folder, REALMFS_FOLDER_PHASE: phase };
    return this.#runner.script('folder.sh', { env, files: input, project: await linkFree(path.join(paths.project, folder)) });
  }

  /** Writes a text to a file for a script. */
  async #text(name: string, text: string): Promise<string> {
    const file = path.join(paths.work, `folder-${name}`);
    await writeFile(file, bytesOf(text));
    return file;
  }
}
