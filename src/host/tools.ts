import { access, constants } from 'node:fs/promises';
import path from 'node:path';

/** A program that the builder starts on the host. */
export interface Tool {
  readonly name: string;
  /** The Debian package that has it. */
  readonly package: string;
  readonly purpose: string;
  /** Every build needs it. */
  readonly required: boolean;
  /** How it is asked for its version; empty: it does not say, dpkg does. */
  readonly versionArguments: readonly string[];
}

/** Rows of one package: `name: purpose`. */
function tools(packageName: string, purposes: Readonly<Record<string, string>>, more: Partial<Tool> = {}): Tool[] {
  return Object.entries(purposes).map(([name, purpose]) => ({
    name,
    package: packageName,
    purpose,
    required: true,
    versionArguments: ['--version'],
    ...more,
  }));
}

const foreign = process.arch === 'arm64' ? 'qemu-x86_64-static' : 'qemu-aarch64-static';

/** Every program that a build starts on the host, or may start. The one list of them. */
export const allTools: readonly Tool[] = [
  ...tools('debootstrap', { debootstrap: 'fetches and unpacks the base system' }),
  ...tools('wget', { wget: 'fetches for debootstrap' }),
  ...tools('gpgv', { gpgv: 'checks the signatures of the archive' }),
  ...tools('perl', { perl: "drops rights and filters system calls, reads the archive's indices for debootstrap" }),
  ...tools('apt', { 'apt-get': "names the mirrors of the host's apt" }),
  ...tools('dpkg', { dpkg: "names the host's architecture, unpacks for debootstrap", 'dpkg-deb': 'reads the packages of a project' }),
  ...tools('util-linux', {
    unshare: 'makes namespaces',
    setpriv: 'drops capabilities, ends what outlives its parent',
    flock: 'locks the output folder',
    pivot_root: 'moves a build to its own view of the host',
  }),
  ...tools('mount', { mount: 'mounts inside the namespaces', umount: "takes the host's root out of the view" }),
  ...tools('iproute2', { ip: 'brings up loopback where there is no network' }, { versionArguments: ['-V'] }),
  ...tools('tar', { tar: 'writes tarballs, unpacks for debootstrap' }),
  ...tools('xz-utils', { xz: 'compresses tarballs, unpacks indices' }),
  ...tools(
    'e2fsprogs',
    {
      'mkfs.ext4': 'writes ext4 images',
      e2fsck: 'checks ext4 images',
      dumpe2fs: 'lists the inodes of ext4 images',
      debugfs: 'sets times in ext4 images',
    },
    {
      versionArguments: ['-V'],
    },
  ),
  ...tools('bash', { bash: 'runs our scripts and reads build.conf' }),
  ...tools('findutils', { find: 'empties folders, lists the tree, looks for links in it', xargs: 'sets times in the tree' }),
  ...tools('coreutils', {
    chmod: 'opens the copies of scripts to their readers',
    cp: 'copies the project, keeps layers and the tree',
    dd: 'writes what is zero as holes, for inspect and diff',
    env: 'gives the evaluation its environment',
    ln: "makes the links of a step's /dev",
    mkdir: 'makes mount points',
    mknod: "makes the devices of a step's /dev",
    head: 'reads the beginning of images',
    readlink: 'finds where resolv.conf lies',
    stat: 'tells whether a folder is still the same one',
    sync: 'brings layers to the disk',
    tail: 'reads images without their header',
    touch: 'sets times in the tree',
  }),
  ...tools('passt', { pasta: 'gives modules a network without the loopback of this machine' }, { required: false }),
  ...tools('slirp4netns', { slirp4netns: 'the same, where pasta is not' }, { required: false }),
  ...tools('zstd', { zstd: 'for the target tarball-zst' }, { required: false }),
  ...tools('gzip', { gzip: 'reads images for inspect and diff' }, { required: false }),
  ...tools('bzip2', { bzip2: 'reads images for inspect and diff' }, { required: false }),
  ...tools('lz4', { lz4: 'reads images for inspect and diff' }, { required: false }),
  ...tools(
    'squashfs-tools',
    { mksquashfs: 'for the targets squashfs and squashfs-xz', unsquashfs: 'reads squashfs for inspect and diff' },
    { required: false, versionArguments: ['-version'] },
  ),
  ...tools('erofs-utils', { 'mkfs.erofs': 'for the target erofs' }, { required: false }),
  ...tools('erofs-utils', { 'fsck.erofs': 'unpacks compressed EROFS for inspect and diff' }, { required: false, versionArguments: ['-V'] }),
  ...tools('apt-utils', { 'apt-ftparchive': 'for packages/*.deb: makes a repository of them' }, { required: false }),
  ...tools(
    'arch-test',
    { 'arch-test': 'for DEBIAN_ARCH: says whether foreign programs run here' },
    { required: false, versionArguments: [] },
  ),
  ...tools('qemu-user-static', { [foreign]: 'for DEBIAN_ARCH: runs programs of other architectures' }, { required: false }),
  ...tools('auto-apt-proxy', { 'auto-apt-proxy': 'finds a proxy for debootstrap' }, { required: false, versionArguments: [] }),
];

const SEARCH = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The path of a program, in the folders where the builder looks for it. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of SEARCH) {
    const file = path.join(folder, name);
    try {
      await access(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The one command that installs packages. */
export function installCommand(packages: readonly string[]): string {
  return `apt-get install ${[...new Set(packages)].join(' ')}`;
}
