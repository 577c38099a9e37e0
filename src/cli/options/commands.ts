import { Argument, Command } from 'commander';
import { UsageError } from '../../errors.ts';
import { parseSize, parseTime } from '../../system/memory.ts';
import { diffProgram, inspectProgram, readDiff, readInspect } from './look.ts';
import { colorOption, parsed, readSteering, setOption, steered } from './shared.ts';
import { type CacheAction, type ColorChoice, cacheActions, type Parsed } from './types.ts';

/** A command beside the build: how its words are read, and what they mean. */
export interface CommandRow {
  readonly doc: string;
  readonly make: () => Command;
  readonly read: (command: Command) => Parsed;
}

/** All commands; the entry runs them by the kind of what `read` returns. */
export const commands: Readonly<Record<string, CommandRow>> = {
  cache: { doc: 'list the layers that make rebuilds fast, and remove some', make: cacheProgram, read: readCache },
  diff: { doc: 'say in what two builds, images or trees differ', make: diffProgram, read: readDiff },
  doctor: { doc: 'say what this machine lacks for a build', make: doctorProgram, read: readDoctor },
  inspect: { doc: 'say what an image is, which packages it has, how it was made', make: inspectProgram, read: readInspect },
  keygen: { doc: 'make a key for RealmFS images', make: keygenProgram, read: readKeygen },
  'make-hooks': { doc: 'make numbered links to the hooks that series name', make: makeHooksProgram, read: readMakeHooks },
  shell: { doc: 'open the tree as it is after a step, to look around', make: shellProgram, read: readShell },
  sign: { doc: 'sign a RealmFS image, or the checksums of all results', make: signProgram, read: readSign },
  verify: { doc: 'check images and results; --rebuild: that a build gives the same bytes again', make: verifyProgram, read: readVerify },
  plan: { doc: 'show settings, their origin and the steps; builds nothing', make: planProgram, read: readPlan },
};

/** Words that name a command; a file of that name is written ./NAME. */
export const commandNames: readonly string[] = Object.keys(commands);

function planProgram(): Command {
  return steered(
    new Command('realmfs-builder plan')
      .usage('[options] [CONFIG]')
      .description('Shows every setting with its origin, and every step. Needs no root and leaves nothing.'),
  )
    .option(...setOption)
    .option('--json', 'one JSON object on standard output')
    .option('--debug', 'show commands and stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help');
}

function doctorProgram(): Command {
  return new Command('realmfs-builder doctor')
    .usage('[options]')
    .description('Says what this machine lacks for a build. Changes nothing.')
    .option('--json', 'one JSON object on standard output')
    .option('-d, --directory <dir>', 'where results would go', 'realmfs')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function cacheProgram(): Command {
  return new Command('realmfs-builder cache')
    .usage('[options] list|du|prune|clear|verify')
    .description(
      'Lists, checks and removes layers: what steps have left, kept for the next build. Layers that a build uses stay. ' +
        'verify reads all of the cache anew, packages too, and ends with exit code 1 if something does not hold.',
    )
    .addArgument(
      new Argument(
        '<action>',
        'list: all layers; du: space by project; prune: to the bounds below; clear: all; verify: is all what was kept?',
      ).choices([...cacheActions]),
    )
    .option('--repair', 'verify: remove what does not hold; the next build makes or fetches it again')
    .option(
      '--max-size <size>',
      'prune: remove what was not used for longest until this is left (default: LAYERS_MAX_SIZE)',
      (text: string) => {
        const size = parseSize(text);
        if (size === undefined) throw new UsageError(`--max-size: '${text}' is no size`);
        return size;
      },
    )
    .option('--older-than <time>', 'prune: remove what was not used for so long (90m, 12h, 30d)', parsed('--older-than', parseAge, 'time'))
    .option('--json', 'one JSON object on standard output')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function shellProgram(): Command {
  return new Command('realmfs-builder shell')
    .usage('[options] [STEP]')
    .description('Opens a shell in the tree as it is after STEP, or as it is when finished. What is changed there is thrown away.')
    .argument('[step]', 'bootstrap, packages, post/NAME or NAME; it must have been built')
    .option('-c <command>', 'run one command, and end with its exit code')
    .option('--config <file>', 'the configuration file')
    .option(...setOption)
    .option('--no-tmpfs', 'keep what is changed on disk')
    .option('--debug', 'show commands and stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function readShell(command: Command): Parsed {
  const raw = command.opts<{
    c?: string;
    config?: string;
    set?: Record<string, string>;
    tmpfs: boolean;
    debug?: true;
    color: ColorChoice;
  }>();
  const { c, config, set = {}, tmpfs, debug, color } = raw;
  return { kind: 'shell', options: { step: command.args[0] ?? '', command: c, config, set, tmpfs, debug: debug === true, color } };
}

function makeHooksProgram(): Command {
  return new Command('realmfs-builder make-hooks')
    .usage('[options] SET...')
    .description('Makes numbered links to the hooks that the series of hooks.d name, as make-hooks of livecd-rootfs does.')
    .argument('<set...>', 'series, extra/series before base/series; commas and semicolons separate, too')
    .option('-q, --quiet', 'only warnings and errors')
    .option('-d, --hooks-dir <dir>', 'where the links go (default: hooks beside hooks.d)')
    .option('--hooks-d <dir>', 'the folder of series and scripts (default: the current folder if it holds base/ or extra/, else ./hooks.d)')
    .helpOption('-h, --help', 'print this help');
}

function readMakeHooks(command: Command): Parsed {
  const { quiet, hooksDir, hooksD } = command.opts<{ quiet?: true; hooksDir?: string; hooksD?: string }>();
  return { kind: 'make-hooks', options: { sets: command.args, hooksDir, hooksD, quiet: quiet === true } };
}

function keygenProgram(): Command {
  return new Command('realmfs-builder keygen')
    .usage('FILE')
    .description('Makes an Ed25519 key: FILE gets the private one (64 hex digits, for its owner alone), FILE.pub the public one.')
    .argument('<file>', 'where the key goes; never over a file that is there')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function readKeygen(command: Command): Parsed {
  return { kind: 'keygen', options: { file: command.args[0] ?? '' } };
}

function signProgram(): Command {
  return new Command('realmfs-builder sign')
    .usage('--key KEY IMAGE | --gpg [--user USER] DIR')
    .description(
      'With --key: signs the header of a RealmFS image in place; SHA256SUMS, manifest.json and the provenance beside it get its new checksum. ' +
        'With --gpg: signs SHA256SUMS of a folder, to SHA256SUMS.gpg.',
    )
    .argument('<file>', 'a RealmFS image; with --gpg the folder of the results')
    .option('--key <file>', 'the private key: 64 hex digits, or PEM')
    .option('--gpg', 'sign with gpg')
    .option('--user <user>', 'with --gpg: whose key (default: gpg chooses)')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function readSign(command: Command): Parsed {
  const { key, gpg, user } = command.opts<{ key?: string; gpg?: true; user?: string }>();
  if ((key === undefined) === (gpg === undefined)) throw new UsageError('sign: give --key for an image, or --gpg for a folder of results');
  if (gpg === undefined && user !== undefined) throw new UsageError('--user belongs to --gpg');
  return { kind: 'sign', options: { file: command.args[0] ?? '', key, user: user ?? '' } };
}

function verifyProgram(): Command {
  return new Command('realmfs-builder verify')
    .usage('[--key KEY] [--keyring KEYS] FILE... | --rebuild [options] [DIR]')
    .description(
      'Checks header, signature, checksum, data and hash tree of RealmFS images; of a folder, all that its SHA256SUMS names. ' +
        'With --rebuild: builds again what the results in DIR were made from, elsewhere and without any cache, and compares.',
    )
    .argument('[file...]', 'RealmFS images, SHA256SUMS, or folders with one; with --rebuild the output folder (default: realmfs)')
    .option('--key <file>', 'the public key that the images must be signed by: 64 hex digits, or PEM')
    .option('--keyring <file>', 'the keys that SHA256SUMS must be signed by, as gpg --export writes them')
    .option('--rebuild', 'build again under another host name, user, umask, time zone, language, time and number of processors')
    .option('--config <file>', 'with --rebuild: the configuration file')
    .option(setOption[0], 'with --rebuild: a setting that the manifest does not hold, such as a password', setOption[2])
    .option('--no-tmpfs', 'with --rebuild: build on disk')
    .option('--debug', 'show stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help');
}

function readVerify(command: Command): Parsed {
  const raw = command.opts<{
    key?: string;
    keyring?: string;
    rebuild?: true;
    config?: string;
    set?: Record<string, string>;
    tmpfs: boolean;
    debug?: true;
    color: ColorChoice;
  }>();
  const { key, keyring, config, set = {}, tmpfs, color } = raw;
  const [directory = 'realmfs', ...more] = command.args;
  if (raw.rebuild) {
    if (more.length > 0) throw new UsageError('--rebuild: compares one folder of results');
    if (key !== undefined || keyring !== undefined) throw new UsageError('--rebuild: a signature is not built again; check it by itself');
    return { kind: 'rebuild', options: { config, directory, set, tmpfs, debug: raw.debug === true, color } };
  }
  if (config !== undefined || !tmpfs || Object.keys(set).length > 0)
    throw new UsageError('--config, --set and --no-tmpfs belong to: verify --rebuild');
  if (command.args.length === 0) throw new UsageError('verify: name images, or folders of results');
  return { kind: 'verify', options: { files: command.args, key, keyring } };
}

/** As parseTime, and days. */
function parseAge(text: string): number | undefined {
  const days = /^(\d+)d$/.exec(text.trim())?.[1];
  return days === undefined ? parseTime(text) : Number(days) * 24 * 3600 * 1000;
}

function readCache(command: Command): Parsed {
  const { json, repair, maxSize, olderThan } = command.opts<{ json?: true; repair?: true; maxSize?: number; olderThan?: number }>();
  const action = command.args[0] as CacheAction;
  if (action !== 'prune' && (maxSize !== undefined || olderThan !== undefined))
    throw new UsageError('--max-size and --older-than belong to: cache prune');
  if (action !== 'verify' && repair) throw new UsageError('--repair belongs to: cache verify');
  const bounds = { ...(maxSize === undefined ? {} : { maxSize }), ...(olderThan === undefined ? {} : { olderThan }) };
  return { kind: 'cache', options: { action, json: json === true, repair: repair === true, ...bounds } };
}

function readDoctor(command: Command): Parsed {
  const { json, directory } = command.opts<{ json?: true; directory: string }>();
  if (directory === '') throw new UsageError('--directory: names no folder');
  return { kind: 'doctor', options: { json: json === true, directory } };
}

function readPlan(command: Command): Parsed {
  const raw = command.opts<{ json?: true; debug?: true; color: ColorChoice }>();
  return { kind: 'plan', options: { ...readSteering(command), json: raw.json === true, debug: raw.debug === true, color: raw.color } };
}
