import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Draw } from '../../records/identity.ts';
import { readForeign, statOrUndefined } from '../../system/files.ts';
import { inRoot } from '../../system/rooted.ts';
import { paths } from '../model/context.ts';
import type { IdentityFile, TreeFile } from './tree-file.ts';

const SCRIPT = '/usr/lib/realmfs/first-boot-identities';
const UNITS = '/usr/lib/systemd/system';
const UNIT = 'realmfs-identities.service';
/** Units of packages that make the keys of the ssh server, where there are none. */
const SSH_UNITS = ['sshd-keygen.service', 'ssh-keygen.service', 'regenerate-ssh-host-keys.service'];
const SNAKEOIL = '/etc/ssl/private/ssl-cert-snakeoil.key';

/** What was done for the first boot. */
interface FirstBoot {
  /** What was put into the tree, as seen from outside. */
  readonly made: readonly string[];
  /** The paths that nothing makes anew. */
  readonly lost: readonly string[];
}

/**
 * Puts a unit into the tree that makes files anew at the first boot; no unit where nothing is to be made. `more`: the certificates and
 * public keys of the files.
 */
export async function makeFirstBoot(files: readonly IdentityFile[], more: readonly TreeFile[]): Promise<FirstBoot> {
  const { root } = paths;
  const hasUnits = (await statIn(UNITS))?.isDirectory() === true;
  const [parts, conditions, lost]: [string[], string[], string[]] = [[], [], []];
  for (const file of files) {
    if (isSshKey(file) && file.path.startsWith('/etc/ssh/') && (await someOf(SSH_UNITS.map((name) => `${UNITS}/${name}`)))) continue;
    const commands = await commandsFor(file, more);
    if (!hasUnits || commands === undefined) {
      lost.push(file.path);
      continue;
    }
    conditions.push(`ConditionPathExists=|!${file.path.replaceAll('%', '%%')}`);
    parts.push(`\nif [ ! -e ${quoted(file.path)} ]; then\n${commands.map((line) => `    ${line}\n`).join('')}fi\n`);
  }
  if (parts.length === 0) return { made: [], lost };
  const templates = `${paths.program}/templates/first-boot`;
  const unit = (await readFile(`${templates}/${UNIT}`, 'utf8')).replace('@CONDITIONS@', conditions.join('\n'));
  const script = await write(SCRIPT, `${await readFile(`${templates}/identities.sh`, 'latin1')}${parts.join('')}`, 0o755);
  const placed = await write(`${UNITS}/${UNIT}`, unit, 0o644);
  const wants = await folderIn(`${UNITS}/sysinit.target.wants`);
  const link = path.join(wants, UNIT);
  if ((await statOrUndefined(link)) === undefined) await symlink(`../${UNIT}`, link);
  return { made: [script, placed, link], lost };

  async function statIn(name: string) {
    const place = inRoot(root, name, { follow: true });
    return place === undefined ? undefined : statOrUndefined(place);
  }
  async function someOf(names: readonly string[]): Promise<boolean> {
    for (const name of names) if ((await statIn(name))?.isFile()) return true;
    return false;
  }
}

/** Makes a folder of the tree, and returns where it lies. */
async function folderIn(name: string): Promise<string> {
  const place = inRoot(paths.root, name, { follow: true }) ?? path.join(await folderIn(path.dirname(name)), path.basename(name));
  if ((await statOrUndefined(place)) === undefined) {
    await mkdir(place);
    await chmod(place, 0o755);
  }
  return place;
}

async function write(name: string, text: string, mode: number): Promise<string> {
  const file = path.join(await folderIn(path.dirname(name)), path.basename(name));
  await writeFile(file, text, 'latin1');
  await chmod(file, mode);
  return file;
}

function isSshKey({ bytes }: TreeFile): boolean {
  return bytes.includes('-----BEGIN OPENSSH PRIVATE KEY-----');
}

/** The lines of shell that make a file anew; undefined: there is no way to. */
async function commandsFor(file: IdentityFile, more: readonly TreeFile[]): Promise<string[] | undefined> {
  const put = ({ path: name, owner, mode }: TreeFile): string => `put ${quoted(name)} ${owner} ${mode.toString(8)}`;
  const restore = ({ path: name, owner, mode }: TreeFile): string =>
    `chown ${owner} ${quoted(name)} && chmod ${mode.toString(8)} ${quoted(name)}`;
  const { template } = file.identity;
  if (template?.draw.kind === 'bytes') return [`head -c ${template.draw.count} /dev/urandom | ${put(file)}`];
  if (template !== undefined)
    return [`join ${quoted(template.before)} "$(${drawCommand(template.draw)})" ${quoted(template.after)} | ${put(file)}`];
  if (file.path === SNAKEOIL && (await hasProgram('make-ssl-cert'))) return ['make-ssl-cert generate-default-snakeoil --force-overwrite'];
  const others = more.filter((one) => one.path === `${file.path}.pub` || one.bytes.includes('-----BEGIN CERTIFICATE-----'));
  if (isSshKey(file)) {
    const type = /^(?:ssh-(rsa|dss|ed25519)|(ecdsa)-)/.exec(
      others.find(({ path: name }) => name.endsWith('.pub'))?.bytes.toString('latin1') ?? '',
    );
    const name = type?.[1] ?? type?.[2];
    if (name === undefined || !(await hasProgram('ssh-keygen'))) return undefined;
    return [`ssh-keygen -q -t ${name} -N '' -f ${quoted(file.path)}`, restore(file)];
  }
  const algorithm = algorithmOf(file.bytes);
  if (algorithm === undefined || !(await hasProgram('openssl'))) return undefined;
  const lines = [`openssl genpkey ${algorithm} 2>/dev/null | ${put(file)}`];
  for (const one of others) {
    const subject = subjectOf(one.bytes, file.bytes);
    if (subject === 'another') continue;
    if (subject === undefined) return undefined;
    lines.push(`openssl req -x509 -new -key ${quoted(file.path)} ${subject} | ${put(one)}`);
  }
  return lines;
}

function drawCommand(draw: Draw): string {
  if (draw.kind === 'uuid') return 'uuid';
  return draw.kind === 'base64' ? `random_base64 ${draw.count}` : `${draw.kind} ${draw.count}`;
}

async function hasProgram(name: string): Promise<boolean> {
  for (const folder of ['/usr/bin', '/usr/sbin', '/bin', '/sbin']) {
    const place = inRoot(paths.root, `${folder}/${name}`, { follow: true });
    if (place !== undefined && (await readForeign(place)) !== undefined) return true;
  }
  return false;
}

/** How openssl draws a key of the same kind. */
function algorithmOf(bytes: Buffer): string | undefined {
  // A file that holds a certificate, too, would lose it.
  if (bytes.includes('-----BEGIN CERTIFICATE-----') || bytes[0] === 0x30) return undefined;
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPrivateKey(bytes);
    if (type === 'rsa') return `-algorithm RSA -pkeyopt rsa_keygen_bits:${details?.modulusLength ?? 2048}`;
    if (type === 'ec') return `-algorithm EC -pkeyopt ec_paramgen_curve:${details?.namedCurve ?? 'prime256v1'}`;
    return type === 'ed25519' ? '-algorithm ED25519' : undefined;
  } catch {
    return undefined;
  }
}

/** The options by which openssl makes the same certificate for another key; undefined: somebody else has signed it; `another`: it is of another key. */
function subjectOf(certificate: Buffer, key: Buffer): string | undefined {
  try {
    const read = new X509Certificate(certificate);
    if (!read.checkPrivateKey(createPrivateKey(key))) return 'another';
    if (read.subject !== read.issuer) return undefined;
    const subject = read.subject.split('\n').map((part) => `/${part.replaceAll('/', '\\/')}`);
    const days = Math.max(1, Math.round((Date.parse(read.validTo) - Date.parse(read.validFrom)) / 86_400_000));
    const names = read.subjectAltName?.split(', ').map((name) => name.replace(/^IP Address:/, 'IP:'));
    return `-days ${days} -subj ${quoted(subject.join(''))}${names === undefined ? '' : ` -addext ${quoted(`subjectAltName=${names.join(',')}`)}`}`;
  } catch {
    return undefined;
  }
}

/** A word of the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
