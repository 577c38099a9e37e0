import { stat } from 'node:fs/promises';
import type { Partition, Reading, ReadRequest } from '../messages/reading.ts';
import { listTree } from '../records/list-tree.ts';
import { BLOCK as REALMFS_BLOCK } from '../targets/realmfs-format.ts';
import { type Bytes, head, ImageError, part, withBytes } from './bytes.ts';
import { erofsObstacle, erofsTree } from './erofs.ts';
import { extObstacle, extTree } from './ext.ts';
import { factsOf } from './facts.ts';
import { countImage, fileOfImage, type ImageTree, listImage, unreadable } from './image-tree.ts';
import { partitionTable } from './partitions.ts';
import { beginOf, expand, piecesOf, READER, type ReadContext, readSquashfs, readTarball, unpackErofs } from './programs.ts';
import { type Compression, HEAD, type Kind, type Recognised, recognise } from './recognise.ts';
import { DPKG_STATUS, LONGEST, OS_RELEASE } from './system-files.ts';

const NOTHING = { compression: '', facts: {}, partitions: null, osRelease: null, dpkgStatus: null, totals: null, files: null, notes: [] };

/** Reads an image, or a tree for the list of its files. Nothing is mounted; programs run in namespaces of their own. */
export async function readImage(request: ReadRequest, context: ReadContext): Promise<Reading> {
  const file = `${READER.source}${request.name === '' ? '' : `/${request.name}`}`;
  if ((await stat(file)).isDirectory()) return { ...NOTHING, kind: 'tree', files: listTree(file) };
  try {
    return await withBytes(file, (bytes) => readBytes(file, bytes, recognise(head(bytes, HEAD)), request, context));
  } catch (error) {
    // What leads a parser beyond the end of a buffer is in the image.
    if (error instanceof RangeError) throw new ImageError(`is damaged: ${error.message}`, { cause: error });
    throw error;
  }
}

async function readBytes(
  file: string,
  bytes: Bytes,
  found: Recognised | undefined,
  request: ReadRequest,
  context: ReadContext,
): Promise<Reading> {
  if (found === undefined) throw new ImageError(bytes.size === 0 ? 'is empty' : 'is of no kind that is known here');
  if ('compression' in found) return readCompressed(file, found.compression, request, context);
  const { kind } = found;
  if (kind === 'tar') return { ...NOTHING, kind, ...(await readTarball({ file, skip: 0, compression: undefined }, request, context)) };
  const facts = factsOf(kind, bytes);
  if (kind === 'disk') return { ...NOTHING, kind, ...(await readDisk(file, bytes, request, context)) };
  if (kind === 'realmfs') {
    const inner = await readRealmfs(file, bytes, facts.compressed === true, request, context);
    return { ...inner, kind, compression: '', facts: { ...inner.facts, ...facts } };
  }
  const read = await readFileSystem(kind, { file, bytes, offset: 0 }, request, context);
  return { ...NOTHING, kind, facts, ...read };
}

/** The header, then the file system; compressed: the header, then an xz stream of a block of zeros and the file system. */
async function readRealmfs(
  file: string,
  bytes: Bytes,
  isCompressed: boolean,
  request: ReadRequest,
  context: ReadContext,
): Promise<Reading> {
  const inside = async (from: string, all: Bytes): Promise<Reading> => {
    const body = part(all, REALMFS_BLOCK);
    const found = recognise(head(body, HEAD));
    const kind = found !== undefined && 'kind' in found ? found.kind : undefined;
    if (kind !== 'ext' && kind !== 'squashfs' && kind !== 'erofs')
      throw new ImageError('is damaged: there is no file system behind its header');
    const facts = factsOf(kind, body);
    return {
      ...NOTHING,
      kind,
      facts,
      ...(await readFileSystem(kind, { file: from, bytes: body, offset: REALMFS_BLOCK }, request, context)),
    };
  };
  if (!isCompressed) return inside(file, bytes);
  const expanded = await expand({ file, skip: REALMFS_BLOCK, compression: 'xz' }, context);
  return withBytes(expanded, (all) => inside(expanded, all));
}

/** A tarball is read as it is decompressed; anything else is decompressed first. */
async function readCompressed(file: string, compression: Compression, request: ReadRequest, context: ReadContext): Promise<Reading> {
  const source = { file, skip: 0, compression };
  const found = recognise(await beginOf(source, HEAD, context));
  if (found === undefined || 'compression' in found)
    throw new ImageError(`is compressed by ${compression}; what is in it is not known here`);
  if (found.kind === 'tar') return { ...NOTHING, kind: 'tar', compression, ...(await readTarball(source, request, context)) };
  if (!['ext', 'squashfs', 'erofs', 'disk', 'realmfs'].includes(found.kind)) return { ...NOTHING, kind: found.kind, compression };
  const expanded = await expand(source, context);
  const inner = await withBytes(expanded, (bytes) => readBytes(expanded, bytes, found, request, context));
  return { ...inner, compression };
}

/** Where a file system lies. */
interface Place {
  readonly file: string;
  readonly bytes: Bytes;
  readonly offset: number;
}

type Content = Pick<Reading, 'osRelease' | 'dpkgStatus' | 'totals' | 'files' | 'notes'>;

async function readFileSystem(
  kind: Kind,
  { file, bytes, offset }: Place,
  request: ReadRequest,
  context: ReadContext,
): Promise<Partial<Content>> {
  if (kind === 'squashfs') return readSquashfs(file, offset, request, context);
  const obstacle = kind === 'ext' ? extObstacle(bytes) : kind === 'erofs' ? erofsObstacle(bytes) : undefined;
  if (obstacle !== undefined) return { notes: [`what is in it cannot be read here: ${obstacle}`] };
  if (kind === 'ext') {
    const notes = factsOf(kind, bytes).needsRecovery === true ? ['it was not unmounted: what its journal holds is not seen'] : [];
    return { ...(await readTree(extTree(bytes), request, context)), notes };
  }
  return kind === 'erofs' ? readErofs({ file, bytes, offset }, request, context) : {};
}

/** What is compressed is unpacked by the program of the format; it knows no offset. */
async function readErofs({ file, bytes, offset }: Place, request: ReadRequest, context: ReadContext): Promise<Content> {
  const tree = erofsTree(bytes);
  const compressed = await unreadable(tree, context.turn);
  if (compressed.size === 0) return readTree(tree, request, context);
  if (offset !== 0) throw new ImageError('holds a compressed EROFS that is not at its beginning: it cannot be read');
  const folder = await unpackErofs(file, request, context);
  const content = (number: number): Iterable<Buffer> | undefined => {
    const path = compressed.get(number);
    return path === undefined ? tree.content(number) : piecesOf(folder, path);
  };
  return readTree({ ...tree, content }, request, context);
}

async function readTree(tree: ImageTree, { wantsFiles }: ReadRequest, { turn }: ReadContext): Promise<Content> {
  const text = (names: readonly string[], limit: number): string | null => {
    for (const name of names) {
      const found = fileOfImage(tree, name, limit);
      if (found !== undefined) return found.toString('utf8');
    }
    return null;
  };
  return {
    osRelease: text(OS_RELEASE, LONGEST.osRelease),
    dpkgStatus: text([DPKG_STATUS], LONGEST.dpkgStatus),
    totals: await countImage(tree, turn),
    files: wantsFiles ? await listImage(tree, turn) : null,
    notes: [],
  };
}

/** The partitions, and what is in the first of them that has packages. */
async function readDisk(file: string, bytes: Bytes, request: ReadRequest, context: ReadContext): Promise<Partial<Reading>> {
  const { table, id, slices } = partitionTable(bytes);
  const partitions: Partition[] = [];
  const notes: string[] = [];
  let content: Partial<Content> = {};
  for (const slice of slices) {
    const body = part(bytes, slice.start, slice.size);
    if (slice.start + slice.size > bytes.size) notes.push(`partition ${slice.number} ends behind the end of the image`);
    const found = recognise(head(body, HEAD));
    const kind = found !== undefined && 'kind' in found && found.kind !== 'disk' ? found.kind : undefined;
    try {
      partitions.push({ ...slice, kind: kind ?? '', facts: kind === undefined ? {} : factsOf(kind, body) });
      if (kind === undefined || (content.dpkgStatus ?? null) !== null || (kind !== 'ext' && kind !== 'squashfs' && kind !== 'erofs'))
        continue;
      const read = await readFileSystem(kind, { file, bytes: body, offset: slice.start }, request, context);
      if (read.dpkgStatus === null) continue;
      content = read;
      notes.push(`the packages${request.wantsFiles ? ' and files' : ''} are those of partition ${slice.number}`);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      notes.push(`partition ${slice.number} ${error.message}`);
      if (partitions.at(-1)?.number !== slice.number) partitions.push({ ...slice, kind: kind ?? '', facts: {} });
    }
  }
  return { facts: { partitionTable: table, uuid: id }, partitions, ...content, notes: [...notes, ...(content.notes ?? [])] };
}
