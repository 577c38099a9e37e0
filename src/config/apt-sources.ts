import path from 'node:path';
import { findInside, readInside } from '../system/inside.ts';

/** Repositories beside the base archive. */
export interface ExtraSources {
  /** deb822 text, in which keys of the project have their place in the image; empty: none. */
  readonly text: string;
  /** Keys below the project folder that are copied to KEYRINGS. */
  readonly keys: readonly string[];
}

/** Where keys of the project are put in the image. */
export const KEYRINGS = '/etc/apt/keyrings';

type Field = readonly [name: string, value: string];

/**
 * Reads EXTRA_SOURCES: deb822 text as in sources.list(5), or a file of the project that holds it.
 * Every repository names who signs it; nothing is trusted without a key.
 */
export async function readSources(value: string, project: string, fail: (message: string) => void): Promise<ExtraSources> {
  const text = await textOf(value, 'Types', project, fail);
  const keys: string[] = [];
  const written: string[] = [];
  for (const [index, fields] of stanzas(text).entries()) {
    const wrong = (message: string): void => fail(`repository ${index + 1} ${message}`);
    const field = (name: string): string | undefined => fields.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1].trim();
    for (const name of ['Types', 'URIs', 'Suites', 'Signed-By']) if (!field(name)) wrong(`has no ${name}`);
    if (fields.some(([key, content]) => key.toLowerCase() === 'trusted' && !/^(no|false|off|0)$/i.test(content.trim())))
      wrong('says Trusted: yes; a key in Signed-By is needed instead');
    for (const address of (field('URIs') ?? '').split(/\s+/)) {
      if (address !== '' && !/^https?:\/\/[^/\s]+/.test(address)) wrong(`has the address '${address}', which is no http or https URL`);
    }
    const signedBy = field('Signed-By') ?? '';
    const isFile = signedBy !== '' && !signedBy.includes('\n') && !signedBy.startsWith('/') && !/^[0-9A-F\s,!]+$/i.test(signedBy);
    if (isFile) {
      const fault = await projectFault(signedBy, project);
      if (fault !== undefined) wrong(`has the key ${signedBy}, which ${fault}`);
      else if (!/\.(gpg|asc)$/.test(signedBy)) wrong(`has the key ${signedBy}: apt wants a name that ends in .gpg or .asc`);
      else keys.push(signedBy);
    }
    const line = ([name, content]: Field): string =>
      isFile && name.toLowerCase() === 'signed-by' ? `${name}: ${KEYRINGS}/${path.basename(signedBy)}` : `${name}:${content}`;
    written.push(fields.map((entry) => `${line(entry)}\n`).join(''));
  }
  const names = new Set(keys.map((key) => path.basename(key)));
  if (names.size < new Set(keys).size) fail('two keys have the same file name');
  return { text: written.join('\n'), keys: [...new Set(keys)] };
}

/** Reads EXTRA_PINS: text as in apt_preferences(5), or a file of the project that holds it. */
export async function readPins(value: string, project: string, fail: (message: string) => void): Promise<string> {
  const text = await textOf(value, 'Package', project, fail);
  for (const [index, fields] of stanzas(text).entries()) {
    for (const name of ['Package', 'Pin', 'Pin-Priority']) {
      if (!fields.some(([key, content]) => key.toLowerCase() === name.toLowerCase() && content.trim() !== ''))
        fail(`pin ${index + 1} has no ${name}`);
    }
  }
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** The text itself, if it has the field that such a text begins with, else that of the file it names. */
async function textOf(value: string, field: string, project: string, fail: (message: string) => void): Promise<string> {
  if (value.trim() === '' || new RegExp(`^${field}:`, 'im').test(value)) return value;
  const fault = value.includes('\n') ? MISSING : await projectFault(value, project);
  if (fault === undefined) return (await readInside(project, value))?.toString('utf8') ?? '';
  fail(
    fault === MISSING
      ? `'${value.split('\n')[0]}' is neither a text with '${field}:' nor a file in the project folder`
      : `${value}: ${fault}`,
  );
  return '';
}

const MISSING = 'is not there: no such file in the project folder';

/** Why a name is not one of a file of the project; undefined: it is. */
async function projectFault(name: string, project: string): Promise<string | undefined> {
  if (project === '') return MISSING;
  const found = await findInside(project, name);
  if (found.kind === 'missing') return MISSING;
  if (found.kind === 'astray') return found.why;
  return found.stat.isFile() ? undefined : 'is not a regular file';
}

/** The paragraphs of a deb822 text: fields in their order, continuation lines kept; comments are dropped. */
function stanzas(text: string): Field[][] {
  const all: Field[][] = [];
  let fields: [string, string][] = [];
  const end = (): void => {
    if (fields.length > 0) all.push(fields);
    fields = [];
  };
  for (const line of text.split('\n')) {
    const match = /^([!-9;-~]+):(.*)$/.exec(line);
    const last = fields.at(-1);
    if (line.startsWith('#')) continue;
    if (line.trim() === '') end();
    else if (/^\s/.test(line) && last !== undefined) last[1] += `\n${line}`;
    else if (match?.[1] !== undefined) fields.push([match[1], match[2] ?? '']);
    else fields.push([line, '']);
  }
  end();
  return all;
}
