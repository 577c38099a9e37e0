import { SIGNATURE } from '../records/names.ts';
import { sha256File } from '../system/files.ts';
import { type HeldFolder, isPlainName } from '../system/held-folder.ts';
import { named, SUMS_LINE } from './sums.ts';

/** Digests by the names of files. */
type Digests = ReadonlyMap<string, string>;

/**
 * Puts the new checksum of a file of a folder into the records beside it, where they name it: the provenance, SHA256SUMS, which names the
 * provenance, too, and manifest.json. A signature of SHA256SUMS is removed: it was one of the old sums. Returns the paths of what was changed or removed.
 */
export async function renewSums(folder: HeldFolder, file: string): Promise<string[]> {
  const changed: string[] = [];
  const renew = async (other: string, edit: (text: string) => string): Promise<boolean> => {
    const [stat, text] = [await folder.stat(other), (await folder.read(other))?.toString('utf8')];
    if (stat === undefined || text === undefined) return false;
    return named(folder.shown(other), async () => {
      const now = edit(text);
      if (now === text) return false;
      // It stays its owner's.
      await folder.write(other, now, stat.mode & 0o777, process.getuid?.() === 0 ? stat : undefined);
      changed.push(folder.shown(other));
      return true;
    });
  };
  const digests = new Map([[file, await named(folder.shown(file), () => sha256File(folder.at(file)))]]);
  for (const other of await provenanceFiles(folder))
    if (await renew(other, (text) => subjectsText(text, digests))) digests.set(other, await sha256File(folder.at(other)));
  if ((await renew('SHA256SUMS', (text) => sumsWith(text, digests))) && (await folder.stat(SIGNATURE)) !== undefined) {
    await folder.remove(SIGNATURE);
    changed.push(folder.shown(SIGNATURE));
  }
  await renew('manifest.json', (text) => artifactsText(text, digests));
  return changed;
}

/** The files of SHA256SUMS that say how the others were made. */
async function provenanceFiles(folder: HeldFolder): Promise<string[]> {
  const sums = (await folder.read('SHA256SUMS'))?.toString('utf8') ?? '';
  const names = sums.split('\n').map((line) => SUMS_LINE.exec(line)?.[2] ?? '');
  return names.filter((name) => name.endsWith('.provenance.json') && isPlainName(name));
}

function sumsWith(text: string, digests: Digests): string {
  return text.replace(/^.*$/gm, (line) => {
    const name = SUMS_LINE.exec(line)?.[2] ?? '';
    const digest = digests.get(name);
    return digest === undefined ? line : `${digest}  ${name}`;
  });
}

function subjectsText(text: string, digests: Digests): string {
  return edited(text, 'subject', (subject) => {
    const digest = typeof subject.name === 'string' ? digests.get(subject.name) : undefined;
    if (digest !== undefined) subject.digest = { sha256: digest };
  });
}

function artifactsText(text: string, digests: Digests): string {
  return edited(text, 'artifacts', (artifact) => {
    const digest = typeof artifact.file === 'string' ? digests.get(artifact.file) : undefined;
    if (digest !== undefined) artifact.sha256 = digest;
  });
}

/** Changes the objects of a list in a JSON text; the text stays as it is if nothing is changed. */
function edited(text: string, list: string, change: (one: Record<string, unknown>) => void): string {
  const known = JSON.parse(text);
  const before = JSON.stringify(known);
  for (const one of Array.isArray(known?.[list]) ? known[list] : []) if (typeof one === 'object' && one !== null) change(one);
  return JSON.stringify(known) === before ? text : `${JSON.stringify(known, null, 2)}\n`;
}
