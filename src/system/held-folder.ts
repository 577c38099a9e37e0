import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, readlink, rename, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { giveTo, hasCode, readForeign, removeFile, statOrUndefined, writeWhole } from './files.ts';

/** A user and a group that files are given to. */
interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const AS_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Whether a name is that of an entry of a folder: it leads nowhere else. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

/** How often somebody may rename a folder that is being removed. */
const RENAMED = 100;
/** The exit code of flock(1) that stands for a lock which somebody else has. */
const LOCKED = 75;

/**
 * A folder that is held by a descriptor, as openat(2) and the like do it. Whoever owns a folder above it can rename it, or put a
 * link in its place, at any moment: all that is done here is done in the folder that was opened, with plain names, whose links are
 * not followed (`here` and `at` are for what has to take a path). Errors name the path under which it was opened.
 */
export class HeldFolder {
  /** Where it lay when it was opened. */
  readonly path: string;
  /** `DEVICE:INODE`, by which programs that have to take the path can tell whether they got the same folder. */
  readonly id: string;
  readonly #handle: FileHandle;

  private constructor(where: string, id: string, handle: FileHandle) {
    this.path = where;
    this.id = id;
    this.#handle = handle;
  }

  /** Opens a folder; `shown`: how it is called. @throws an Error with `code` if there is none, or a link. */
  static async open(folder: string, shown = folder): Promise<HeldFolder> {
    const handle = await open(folder, AS_FOLDER);
    const { dev, ino } = await handle.stat({ bigint: true });
    return new HeldFolder(shown, `${dev}:${ino}`, handle);
  }

  /** The descriptor, for a child process that is to have it, too. */
  get descriptor(): number {
    return this.#handle.fd;
  }

  /** A path that leads to it wherever it lies, for this process and its children. */
  get here(): string {
    return `/proc/${process.pid}/fd/${this.#handle.fd}`;
  }

  /** Such a path of an entry. Nothing must follow a link of its last name. */
  at(name: string): string {
    if (!isPlainName(name)) throw new Error(`${JSON.stringify(name)} is not the name of a file`);
    return `${this.here}/${name}`;
  }

  /** The path of an entry for people. */
  shown(name: string): string {
    return path.join(this.path, name);
  }

  /** Opens a folder in it. */
  async folder(name: string): Promise<HeldFolder> {
    return this.#told(() => HeldFolder.open(this.at(name), this.shown(name)));
  }

  /** lstat of an entry, or undefined where nothing is. */
  async stat(name: string) {
    return this.#told(() => statOrUndefined(this.at(name)));
  }

  /** lstat of the folder itself. */
  async own() {
    return this.#handle.stat();
  }

  async list(): Promise<string[]> {
    return this.#told(() => readdir(`${this.here}/`));
  }

  /** Reads a file that anybody could have put there, as readForeign does. */
  async read(name: string, limit?: number): Promise<Buffer | undefined> {
    return this.#told(() => readForeign(this.at(name), limit));
  }

  /** Makes a file that is not there yet. */
  async create(name: string, mode: number): Promise<FileHandle> {
    return this.#told(() => open(this.at(name), 'wx', mode));
  }

  /** Writes a whole file so that its name never stands for a part of it; it belongs to `owner` before it has its name. */
  async write(name: string, text: string | Buffer, mode = 0o644, owner?: Owner): Promise<void> {
    return this.#told(() => writeWhole(this.at(name), text, mode, owner));
  }

  /** Gives an entry another name, here or in another folder. A file, link or empty folder of that name is replaced. */
  async rename(name: string, to: HeldFolder, newName = name): Promise<void> {
    return this.#told(() => to.#told(() => rename(this.at(name), to.at(newName))));
  }

  /** Gives a file to a user. */
  async giveTo(name: string, owner: Owner | undefined): Promise<void> {
    return this.#told(() => giveTo(this.at(name), owner));
  }

  /** Removes a file; it is no fault if there is none. */
  async remove(name: string): Promise<void> {
    return this.#told(() => removeFile(this.at(name)));
  }

  /** Removes a folder in it if it is empty and still the one that is held as `folder`, whatever it is called by now. True if it is gone. */
  async removeFolder(folder: HeldFolder): Promise<boolean> {
    return this.#told(async () => {
      for (let tries = 0; tries < RENAMED; tries += 1) {
        const name = await this.#nameOf(folder);
        try {
          if (name !== undefined) await rmdir(this.at(name));
        } catch (error) {
          if (['ENOTEMPTY', 'EEXIST'].some((code) => hasCode(error, code))) return false;
          if (!['ENOENT', 'ENOTDIR'].some((code) => hasCode(error, code))) throw error;
        }
        if ((await folder.place()).endsWith(' (deleted)')) return true;
      }
      return false;
    });
  }

  /** Makes an empty folder of root's with a random name, mode 0700, and holds it. Who made it removes it. */
  async makeFolder(prefix: string, postfix: string): Promise<HeldFolder> {
    for (;;) {
      const name = `${prefix}${randomBytes(9).toString('base64url').replaceAll('_', '-')}${postfix}`;
      try {
        return await this.makeNamed(name, 0o700);
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
      }
    }
  }

  /**
   * Makes a folder and holds it.
   * @throws an Error if somebody has put another one in its place: then it is not empty, or it is another's.
   */
  async makeNamed(name: string, mode: number): Promise<HeldFolder> {
    return this.#told(async () => {
      await mkdir(this.at(name), mode);
      const made = await this.folder(name);
      try {
        const { uid } = await made.own();
        if (uid !== process.geteuid?.() || (await made.list()).length > 0) throw new Error(`${made.path} was replaced by another folder`);
        if (uid === 0) await made.#handle.chown(0, 0);
        return made;
      } catch (error) {
        await made.close();
        throw error;
      }
    });
  }

  /** Gives the folder itself to a user. */
  async giveAway(owner: Owner): Promise<void> {
    await this.#handle.chown(owner.uid, owner.gid);
  }

  /** Brings its names to the disk. */
  async sync(): Promise<void> {
    await this.#handle.sync();
  }

  /** Whether its path still leads to it. */
  async isInPlace(): Promise<boolean> {
    const { dev, ino } = await lstat(this.path, { bigint: true }).catch(() => ({ dev: 0n, ino: 0n }));
    return `${dev}:${ino}` === this.id;
  }

  /** Where it lies now. */
  async place(): Promise<string> {
    return readlink(this.here);
  }

  /**
   * Takes the lock of the folder (flock(2)): it belongs to the descriptor, and is held until this process and all that have the descriptor from it
   * have closed it. False if somebody else has it.
   */
  async lock(): Promise<boolean> {
    // flock(1) locks a descriptor that it is given; by a path it would make a file where the folder is gone.
    const child = spawn('flock', ['--nonblock', '--conflict-exit-code', String(LOCKED), '3'], {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', 'ignore', 'pipe', this.#handle.fd],
    });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code !== 0 && code !== LOCKED) throw new Error(`${this.path} could not be locked: ${said.trim() || `flock ended with ${code}`}`);
    return code === 0;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** The name that a folder has here. */
  async #nameOf(folder: HeldFolder): Promise<string | undefined> {
    const own = path.basename(folder.path);
    for (const name of [own, ...(await this.list())]) {
      const found = await lstat(this.at(name), { bigint: true }).catch(() => undefined);
      if (found !== undefined && `${found.dev}:${found.ino}` === folder.id) return name;
    }
    return undefined;
  }

  /** An error of a call that was given one of its paths, in the words of people. */
  inWords(error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    for (const key of ['message', 'path', 'dest'] as const) {
      const text: unknown = Reflect.get(error, key);
      if (typeof text === 'string') Reflect.set(error, key, text.replaceAll(this.here, this.path));
    }
    return error;
  }

  async #told<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw this.inWords(error);
    }
  }
}
