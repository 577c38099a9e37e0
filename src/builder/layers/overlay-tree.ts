import { lstat, mkdir, readdir, readFile, statfs, symlink } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError, PreflightError } from '../../errors.ts';
import { makeFolders, statOrUndefined } from '../../system/files.ts';
import type { Runner } from '../../system/runner.ts';

/** Where a tree is, and how it is made. */
export interface TreeFolders {
  /** Where the tree is seen. */
  readonly root: string;
  /** False: their disk cannot hold an upper. The tree is one folder, and nothing in it is a layer. */
  readonly isLayered: boolean;
}

/** OVERLAYFS_SUPER_MAGIC in linux/magic.h. */
const OVERLAYFS = 0x794c7630;
/** Names of files that are handed to one command. */
const MOST_ARGUMENTS = 1000;
/** Kernel: OVL_MAX_STACK is 500. What comes after it shares one upper. */
export const MOST_LOWERS = 400;
/**
 * redirect_dir: a folder of a lower can be renamed, as on any file system. index: a file with several
 * names stays one file when it is written. All three are off in Debian's kernels unless asked for.
 */
const OPTIONS = 'redirect_dir=on,index=on,metacopy=off,xino=auto';

/**
 * The root of a build: layers on top of each other, and at most one upper that is written. What is
 * in the upper becomes the next layer by `freeze`.
 */
export class OverlayTree {
  readonly #folders: TreeFolders;
  readonly #runner: Runner;
  /** Folders, the lowest first. */
  readonly #lowers: string[] = [];
  #upper: string | undefined;
  #count = 0;

  constructor(folders: TreeFolders, runner: Runner) {
    this.#folders = folders;
    this.#runner = runner;
  }

  get isLayered(): boolean {
    return this.#folders.isLayered;
  }

  get depth(): number {
    return this.#lowers.length;
  }

  /** Puts a layer of the store on top. */
  add(folder: string): void {
    this.#lowers.push(folder);
  }

  /** Takes the topmost layer away again. */
  drop(): void {
    this.#lowers.pop();
  }

  /** Opens an upper below `parts`, with its work folder: from here on the tree can be written. The first one is an empty folder. */
  async open(parts: string): Promise<void> {
    const { root, isLayered } = this.#folders;
    if (this.#upper !== undefined) {
      if (isLayered) throw new BuilderError('the tree is open already');
      return;
    }
    const part = path.join(parts, String(this.#count++));
    const upper = path.join(part, 'upper');
    await makeFolders(upper, 0o755);
    const mount = (args: readonly string[]): Promise<unknown> =>
      // mount(8) from 2.39 on hands over each option by itself, of 256 characters at most.
      this.#runner.run({ label: 'mounting the tree', file: 'mount', args, cwd: part, env: { LIBMOUNT_FORCE_MOUNT2: 'always' } });
    if (this.#lowers.length === 0) await mount(['--bind', upper, root]);
    else {
      await mkdir(path.join(part, 'work'));
      await this.#likeRoot(this.#lowers.at(-1) ?? '', upper);
      // Short names: all of them must fit into one page.
      for (const [index, lower] of this.#lowers.entries()) await symlink(lower, path.join(part, String(index)));
      const names = [...this.#lowers.keys()].reverse().join(':');
      await mount(['-t', 'overlay', '-o', `lowerdir=${names},upperdir=upper,workdir=work,${OPTIONS}`, 'realmfs-root', root]);
    }
    this.#upper = upper;
    if (this.#lowers.length > 0 && !(await hasIndex(root))) {
      throw new PreflightError('the file system of the layers, or of the output folder, cannot keep the names of one file together', {
        step: 'preflight',
        hint: 'move the cache to another one (REALMFS_CACHE_DIR), or keep no layers: LAYERS_MAX_SIZE=0, and no --no-tmpfs',
      });
    }
  }

  /** Gives an upper mode, owner, times, ACLs and attributes of the tree's root: overlayfs takes them from the uppermost layer. */
  async #likeRoot(lower: string, upper: string): Promise<void> {
    const script =
      'pack() { tar --xattrs "--xattrs-include=*" "--xattrs-exclude=trusted.*" --acls --numeric-owner "$@"; }; ' +
      'pack --create --no-recursion --directory "$1" . | pack --extract --preserve-permissions --same-owner --directory "$2"';
    await this.#runner.run({
      label: "keeping the root's attributes",
      file: 'bash',
      args: ['-euo', 'pipefail', '-c', script, 'bash', lower, upper],
    });
  }

  /** Ends writing. The upper is the topmost layer now; its folder is returned. */
  async freeze(links: readonly (readonly string[])[]): Promise<{ folder: string; links: string[][] }> {
    const upper = this.#upper;
    if (upper === undefined) throw new BuilderError('the tree is not open');
    if (!this.#folders.isLayered) return { folder: upper, links: [] };
    const found = await this.#freezeLinks(upper, links);
    await this.#unmount();
    // The index is a further name of what it names, and of no use any more: link counts are those of the tree.
    const work = path.join(path.dirname(upper), 'work');
    if ((await statOrUndefined(work)) !== undefined)
      await this.#runner.run({ label: 'clearing the index', file: 'find', args: [work, '-xdev', '-mindepth', '1', '-delete'] });
    this.#lowers.push(upper);
    return { folder: upper, links: found };
  }

  /** Ends writing and forgets what was written. */
  async discard(): Promise<void> {
    const upper = this.#upper;
    if (upper === undefined) return;
    await this.#unmount();
    await this.#runner.run({ label: 'removing what was written', file: 'find', args: [path.dirname(upper), '-xdev', '-delete'] });
  }

  async #unmount(): Promise<void> {
    await this.#runner.run({ label: 'unmounting the tree', file: 'umount', args: [this.#folders.root] });
    this.#upper = undefined;
  }

  /**
   * overlayfs keeps the names of one file together by an index beside the upper, which a layer does
   * not have: if one name of a file was touched, all names are brought into the upper. Returns
   * the files with several names in the tree, `links` being those before.
   */
  async #freezeLinks(upper: string, links: readonly (readonly string[])[]): Promise<string[][]> {
    const index = path.join(path.dirname(upper), 'work/index');
    // What begins with # is the kernel's own: a whiteout that it links where it needs one.
    const touched = (await statOrUndefined(index))?.isDirectory() === true && (await readdir(index)).some((name) => !name.startsWith('#'));
    const { root } = this.#folders;
    // The index forgets a file whose last name is gone.
    const isWhole = async (group: readonly string[]): Promise<boolean> => {
      const inodes = group.map((name) =>
        lstat(path.join(root, name), { bigint: true }).then(
          ({ ino }) => ino,
          () => undefined,
        ),
      );
      const [first, ...others] = await Promise.all(inodes);
      return first !== undefined && others.every((ino) => ino === first);
    };
    if (!touched) {
      const kept = (await Promise.all(links.map(isWhole))).every((whole) => whole);
      return kept ? [...links.map((group) => [...group]), ...(await this.#linked(upper))] : this.#linked(root);
    }
    const names = new Set<string>();
    let isMoved = false;
    for (const group of [...links, ...(await this.#linked(root))]) {
      const states = await Promise.all(group.map((name) => this.#state(upper, name)));
      isMoved ||= states.includes('gone');
      if (!states.every((state) => state === 'below'))
        for (const [at, name] of group.entries()) if (states[at] === 'below') names.add(name);
    }
    if (isMoved) for (const name of await this.#moved(upper)) names.add(name);
    await this.#copyUp([...names].map((name) => path.join(root, name)));
    return this.#linked(root);
  }

  /** Where a name is: in the upper, only below it, or nowhere any more. */
  async #state(upper: string, name: string): Promise<'upper' | 'below' | 'gone'> {
    if ((await statOrUndefined(path.join(this.#folders.root, name))) === undefined) return 'gone';
    return (await statOrUndefined(path.join(upper, name))) === undefined ? 'below' : 'upper';
  }

  /**
   * The files that lie below folders which were renamed: in the tree, but neither in the upper nor in a lower at
   * the same place. Of a linked file whose name is gone nobody can say whether it is one of them.
   */
  async #moved(upper: string): Promise<string[]> {
    const there = new Set<string>();
    for (const layer of [upper, ...this.#lowers]) for (const name of await this.#files(layer)) there.add(name);
    return (await this.#files(this.#folders.root)).filter((name) => !there.has(name));
  }

  async #files(folder: string): Promise<string[]> {
    const args = [folder, '-xdev', '!', '-type', 'd', '!', '-type', 'c', '-printf', '%P\\0'];
    return (await this.#runner.capture({ label: 'listing files', file: 'find', args })).split('\0').slice(0, -1);
  }

  /** Brings files into the upper and leaves them as they are: giving them to their owner does it, without following a link. */
  async #copyUp(files: readonly string[]): Promise<void> {
    const script =
      'for file; do if [[ -f $file && ! -L $file ]]; then : >>"$file"; else chown --no-dereference "$(stat --format=%u:%g -- "$file")" -- "$file"; fi; done';
    for (let at = 0; at < files.length; at += MOST_ARGUMENTS)
      await this.#runner.run({
        label: 'copying up links',
        file: 'bash',
        args: ['-ec', script, 'bash', ...files.slice(at, at + MOST_ARGUMENTS)],
      });
  }

  /** The files with several names below a folder: groups of names. */
  async #linked(folder: string): Promise<string[][]> {
    const text = await this.#runner.capture({
      label: 'looking for links',
      file: 'find',
      // Whiteouts are devices, and links of one another; the devices of a tree come from its bootstrap.
      args: [folder, '-xdev', '!', '-type', 'd', '!', '-type', 'c', '-links', '+1', '-printf', '%i/%P\\0'],
    });
    const groups = new Map<string, string[]>();
    for (const entry of text.split('\0')) {
      const at = entry.indexOf('/');
      if (at < 0) continue;
      const names = groups.get(entry.slice(0, at)) ?? [];
      names.push(entry.slice(at + 1));
      groups.set(entry.slice(0, at), names);
    }
    return [...groups.values()].filter((names) => names.length > 1).map((names) => names.sort());
  }
}

/** True if a folder's file system can hold the uppers of an overlay, and files that are found again by their handle. */
export async function canBeUpper(folder: string): Promise<boolean> {
  return (await statfs(folder)).type !== OVERLAYFS;
}

/** Whether the kernel has given the overlay its index: without it, it says so to its own log alone. An option that is the default is not shown. */
async function hasIndex(root: string): Promise<boolean> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  if (mounts.findLast((line) => line.split(' ')[4] === root)?.includes('index=on') === true) return true;
  return (await readFile('/sys/module/overlay/parameters/index', 'utf8')).trim() === 'Y';
}
