import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { type FixtureArchive, fixtureArchive, type KeyName } from './fixture-archive.ts';
import { clearsign } from './signing.ts';

/** What goes wrong with an answer. */
export type Fault =
  | { readonly kind: 'status'; readonly code: number }
  /** The connection ends without an answer. */
  | { readonly kind: 'reset' }
  /** Nothing more comes after so many bytes. */
  | { readonly kind: 'hang'; readonly at: number }
  /** The connection ends after so many bytes, though more were promised. */
  | { readonly kind: 'cut'; readonly at: number }
  /** Bytes a second. */
  | { readonly kind: 'slow'; readonly rate: number }
  /** The right number of wrong bytes. */
  | { readonly kind: 'wrong' }
  | { readonly kind: 'redirect'; readonly to: string };

/** How the Release file of the suite is served. */
export interface ReleaseChange {
  /** None: neither InRelease nor Release.gpg is there. */
  readonly signedBy?: readonly KeyName[];
  /** The text is changed after it was signed. */
  readonly forged?: boolean;
  readonly date?: Date;
  readonly validUntil?: Date;
  readonly codename?: string;
  readonly suite?: string;
}

/**
 * A mirror of the fixture archive on loopback, and a proxy: tests name the archive
 * http://mirror.example/debian and let `http_proxy` lead here.
 */
export class FixtureMirror {
  readonly archive: FixtureArchive;
  /** Paths that were asked for, in order. */
  readonly requests: string[] = [];
  /** Is waited for before each answer. */
  before: (name: string) => Promise<void> = async () => {};
  /** `user:password` that the archive (not its security updates) asks for; empty: none. */
  password = '';
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #faults: { pattern: RegExp; fault: Fault }[] = [];
  #release: ReleaseChange = {};
  #hasUpdate = false;
  readonly #signed = new Map<string, string>();

  constructor(archive: FixtureArchive) {
    this.archive = archive;
  }

  static async start(cache: string): Promise<FixtureMirror> {
    const mirror = new FixtureMirror(await fixtureArchive(cache));
    await new Promise<void>((resolve) => mirror.#server.listen(0, '127.0.0.1', resolve));
    mirror.#server.unref();
    return mirror;
  }

  /**
   * Serves the same by https, as `https_proxy`, under every name that the certificate has, and a folder of files under /flat/. Returns what
   * ends it.
   */
  async secure(identity: { readonly key: string; readonly cert: string }, flat: string): Promise<() => void> {
    const server = createSecureServer(identity, (request, response) => {
      const name = /^\/flat\/(?:\.\/)?([\w.-]+)$/.exec(request.url ?? '')?.[1];
      const file = name === undefined ? undefined : existing(path.join(flat, name));
      if (name === undefined) void this.#answer(request, response);
      else if (file === undefined) response.writeHead(404).end('no\n');
      else send(response, file);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const tunnel = (_: IncomingMessage, socket: Duplex): void => {
      const there = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        there.pipe(socket).pipe(there);
      });
      for (const end of [socket, there]) end.on('error', () => {});
    };
    this.#server.on('connect', tunnel);
    return () => {
      this.#server.off('connect', tunnel);
      server.closeAllConnections();
      server.close();
    };
  }

  get proxy(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  get url(): string {
    return `${this.proxy}/debian`;
  }

  /** Requests whose path matches go wrong from now on. */
  fault(pattern: RegExp, fault: Fault): void {
    this.#faults.push({ pattern, fault });
  }

  release(change: ReleaseChange): void {
    this.#release = change;
  }

  /** From now on there is a security update: version 2 of fixture-plain. */
  update(): void {
    this.#hasUpdate = true;
  }

  /** No more faults, a good Release file, no update, no requests so far. */
  clear(): void {
    this.#faults.length = 0;
    this.#release = {};
    this.#hasUpdate = false;
    this.requests.length = 0;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Writes the keyring of the archive to a file. */
  writeKeyring(file: string): string {
    writeFileSync(file, this.archive.keyring);
    return file;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // As a proxy it is asked for whole addresses.
    const { pathname } = new URL(request.url ?? '/', 'http://mirror.example');
    // A colon in a version is %3a in the name of the file itself; apt escapes that once more.
    const name = pathname.replaceAll('%253a', '%3a').replaceAll('%7e', '~');
    this.requests.push(name);
    await this.before(name);
    const fault = this.#faults.find(({ pattern }) => pattern.test(name))?.fault;
    const content = this.#content(name.replace(/^\/moved\//, '/'));
    const asked = this.password !== '' && name.startsWith('/debian/');
    const known = `Basic ${Buffer.from(this.password).toString('base64')}`;
    if (asked && request.headers.authorization !== known) response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="archive"' }).end();
    else if (fault?.kind === 'reset') request.socket.destroy();
    else if (fault?.kind === 'status') response.writeHead(fault.code).end('no\n');
    else if (fault?.kind === 'redirect') response.writeHead(302, { Location: fault.to }).end();
    else if (content === undefined) response.writeHead(404).end('no\n');
    else if (fault === undefined) send(response, content);
    else sendWrong(response, typeof content === 'string' ? readFileSync(content) : content, fault);
  }

  /** A file's name, or bytes that are made for the occasion. */
  #content(name: string): string | Buffer | undefined {
    const { folder, arch } = this.archive;
    const [, root = '', ...rest] = name.split('/');
    const below = rest.join('/');
    if (/^debian(?:-security)?$/.test(root) && below.startsWith('pool/')) {
      const file = path.join(folder, root === 'debian' ? 'debian' : 'security', path.normalize(`/${below}`));
      return existsSync(file) ? file : undefined;
    }
    const match = /^dists\/([a-z-]+)\/(.*)$/.exec(below);
    if (match === null) return undefined;
    const [, suite = '', file = ''] = match;
    if (suite === 'trixie' && root === 'debian') {
      if (file.startsWith(`main/binary-${arch}/Packages`)) return existing(path.join(folder, path.basename(file)));
      if (file === `non-free-firmware/binary-${arch}/Packages`) return Buffer.alloc(0);
      return this.#releaseFile(file, suite, this.#release);
    }
    const empty = (root === 'debian' && suite === 'trixie-updates') || (root === 'debian-security' && suite === 'trixie-security');
    if (!empty) return undefined;
    if (/binary-[^/]+\/Packages$/.test(file)) return this.#index(suite, file);
    return this.#releaseFile(
      file,
      suite,
      this.#hasUpdate && suite === 'trixie-security' ? { date: new Date((this.archive.made + 1) * 1000) } : {},
    );
  }

  /** An uncompressed Packages file. */
  #index(suite: string, file: string): Buffer {
    if (!file.startsWith('main/')) return Buffer.alloc(0);
    if (suite === 'trixie') return readFileSync(path.join(this.archive.folder, 'Packages'));
    return suite === 'trixie-security' && this.#hasUpdate
      ? readFileSync(path.join(this.archive.folder, 'security-Packages'))
      : Buffer.alloc(0);
  }

  #releaseFile(file: string, suite: string, change: ReleaseChange): Buffer | undefined {
    const signedBy = change.signedBy ?? ['good'];
    const text = this.#releaseText(suite, change);
    if (file === 'Release') return Buffer.from(text);
    if (file !== 'InRelease' || signedBy.length === 0) return undefined;
    // Signed once, as a real archive's is: the same text, the same bytes.
    const key = `${signedBy.join(' ')}\n${text}`;
    const signed =
      this.#signed.get(key) ??
      clearsign(
        text,
        signedBy.map((name) => this.archive.keys[name]),
      );
    this.#signed.set(key, signed);
    return Buffer.from(change.forged === true ? signed.replace('Description: fixture', 'Description: fixturE') : signed);
  }

  #releaseText(suite: string, change: ReleaseChange): string {
    const { folder, arch, made } = this.archive;
    const base = suite === 'trixie';
    const indices = ['main', 'non-free-firmware'].flatMap((component) =>
      (base && component === 'main' ? ['Packages', 'Packages.xz'] : ['Packages']).map((name) => {
        const file = `${component}/binary-${arch}/${name}`;
        const bytes = name === 'Packages' ? this.#index(suite, file) : readFileSync(path.join(folder, name));
        return ` ${createHash('sha256').update(bytes).digest('hex')} ${bytes.length} ${file}\n`;
      }),
    );
    return [
      'Origin: Debian',
      `Label: Debian${suite.endsWith('security') ? '-Security' : ''}`,
      `Suite: ${change.suite ?? suite.replace('trixie', 'stable')}`,
      `Codename: ${change.codename ?? suite}`,
      `Date: ${(change.date ?? new Date(made * 1000)).toUTCString()}`,
      ...(change.validUntil === undefined ? [] : [`Valid-Until: ${change.validUntil.toUTCString()}`]),
      `Architectures: all ${arch}`,
      // As in Debian's own: packages for all architectures stand in every index.
      'No-Support-for-Architecture-all: Packages',
      'Components: main non-free-firmware',
      'Description: fixture',
      `SHA256:\n${indices.join('')}`,
    ].join('\n');
  }
}

function existing(file: string): string | undefined {
  return existsSync(file) ? file : undefined;
}

function send(response: ServerResponse, content: string | Buffer): void {
  if (typeof content !== 'string') {
    response.writeHead(200, { 'Content-Length': content.length }).end(content);
    return;
  }
  response.writeHead(200, { 'Content-Length': statSync(content).size });
  createReadStream(content).pipe(response);
}

function sendWrong(response: ServerResponse, bytes: Buffer, fault: Fault): void {
  response.writeHead(200, { 'Content-Length': bytes.length });
  switch (fault.kind) {
    case 'hang':
      response.write(bytes.subarray(0, fault.at));
      break;
    case 'cut':
      response.write(bytes.subarray(0, fault.at), () => response.destroy());
      break;
    case 'wrong':
      response.end(Buffer.from(bytes.map((byte) => byte ^ 0xff)));
      break;
    case 'slow': {
      let at = 0;
      const timer = setInterval(() => {
        response.write(bytes.subarray(at, at + fault.rate / 10));
        at += fault.rate / 10;
        if (at < bytes.length && !response.destroyed) return;
        clearInterval(timer);
        response.end();
      }, 100);
      break;
    }
    default:
      throw new Error(`no such fault: ${fault.kind}`);
  }
}
