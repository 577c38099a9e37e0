import { link, mkdir, utimes } from 'node:fs/promises';
import path from 'node:path';
import { PROJECT_TIME } from '../../config/project.ts';
import { hasCode, removeFile } from '../../system/files.ts';
import { onDisk } from '../../system/names.ts';
import { paths } from '../model/context.ts';
import type { StepSource } from '../model/plan.ts';
import { linkFree } from '../project/project-file.ts';
import { fileBelow, type StepTexts } from '../project/step-texts.ts';

/** Characters of all that one step looks up: it stands in the layer. */
const MOST_LOOKED_UP = 4 * 1024 ** 2;
/** What a step has read once it has begun. */
const READ_AT_BEGIN = ['settings-before.sh', 'settings-after.sh', 'config', 'state.sh'];
const FOLDERS: Readonly<Record<string, string>> = { file: 'realmfs-files', module: 'realmfs-modules' };

/** What a step sees of the project: all of it, or a folder with the files that count for it by their names, and nothing else. */
export class StepProject {
  /** What it finds as its project folder. */
  readonly folder: string;
  /** What it has looked up: `file NAME`, `module NAME`. The builder's own record: a step cannot leave anything out. */
  readonly reads = new Set<string>();
  readonly #step: string;
  readonly #isWhole: boolean;
  readonly #sources: StepTexts;
  readonly #config: string | null;
  #length = 0;

  private constructor(options: { step: string; isWhole: boolean; config: string | null; sources: StepTexts }) {
    this.#step = options.step;
    this.#isWhole = options.isWhole;
    this.#config = options.config;
    this.#sources = options.sources;
    this.folder = options.isWhole ? paths.project : path.join(options.step, 'project');
  }

  /** `step`: the step's own folder; `config`: the name of build.conf. */
  static async make(options: {
    step: string;
    isWhole: boolean;
    config: string | null;
    module: StepSource;
    sources: StepTexts;
  }): Promise<StepProject> {
    const { config, module, isWhole } = options;
    const project = new StepProject(options);
    if (isWhole) return project;
    await mkdir(project.folder);
    if (config !== null) await project.#put(config, path.join(paths.project, config));
    const file = path.join('realmfs-modules', module.name);
    if (module.origin === 'project') await project.#put(file, path.join(paths.project, file));
    await project.#settle('.');
    return project;
  }

  /** Answers a question of the step. */
  async answer(kind: string, name: string): Promise<string> {
    if (kind === 'begun') return this.#forget();
    const folder = FOLDERS[kind];
    if (folder === undefined) return 'is nothing that can be asked';
    if (!isFit(kind, name)) return 'has an unfit name';
    const read = `${kind} ${name}`;
    if (!this.reads.has(read)) {
      this.#length += read.length;
      if (this.#length > MOST_LOOKED_UP) return 'is one file too many: a step looks up 4 MiB of names at most';
      this.reads.add(read);
    }
    const found = await this.#sources.lookUp(read);
    if (!found.startsWith('project ')) return 'ok';
    const file = await fileBelow(path.join(paths.project, folder), name);
    if (file === undefined) return 'ok';
    if (file.fault !== undefined) return file.fault;
    if (!this.#isWhole) {
      await this.#put(path.join(folder, name), file.real);
      await this.#settle(path.join(folder, path.dirname(name)));
    }
    return 'ok';
  }

  /**
   * The step has read its settings and build.conf. From now on they lie in its shell alone: comments of build.conf, and settings
   * that do not count for the step, cannot be found by a search through all files.
   */
  async #forget(): Promise<string> {
    const files = READ_AT_BEGIN.map((name) => path.join(this.#step, 'in', name));
    if (!this.#isWhole && this.#config !== null) files.push(path.join(this.folder, this.#config));
    await Promise.all(files.map(removeFile));
    if (!this.#isWhole) await this.#settle('.');
    return 'ok';
  }

  /** Shows a file of the project under its name. One inode: it has mode, time and attributes of the copy. */
  async #put(name: string, from: string): Promise<void> {
    const target = path.join(this.folder, name);
    await mkdir(onDisk(path.dirname(target)), { recursive: true });
    try {
      await link(onDisk(await linkFree(from)), onDisk(target));
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }

  /** Gives a folder, and those above it, the time of everything in a project. */
  async #settle(folder: string): Promise<void> {
    for (let at = path.normalize(folder); ; at = path.dirname(at)) {
      await utimes(onDisk(path.join(this.folder, at)), PROJECT_TIME, PROJECT_TIME);
      if (at === '.') return;
    }
  }
}

/** Whether a name can be that of a file below its folder. */
function isFit(kind: string, name: string): boolean {
  if (kind === 'module') return /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}$/.test(name);
  return name !== '' && name.length < 4000 && !name.endsWith('/') && !name.split('/').includes('..');
}
