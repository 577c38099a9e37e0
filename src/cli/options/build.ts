import { Command, Option } from 'commander';
import { UsageError } from '../../errors.ts';
import { version } from '../../resources.ts';
import { parseSize, parseTime } from '../../system/memory.ts';
import { colorOption, parsed, readSteering, setOption, steered } from './shared.ts';
import { type ColorChoice, type Parsed, type ProgressKind, progressKinds } from './types.ts';

const EXAMPLES = `Examples:
  realmfs-builder --new              write a build.conf to start from
  sudo realmfs-builder               build what ./build.conf says, results in ./realmfs
  sudo realmfs-builder -t -z         a tarball, plain and compressed
  sudo realmfs-builder --set DEBIAN_RELEASE=bookworm other/build.conf
  sudo realmfs-builder --no-tmpfs    build on disk, where memory is short
  realmfs-builder plan               show what a build would do, and why
  sudo realmfs-builder doctor        what this machine lacks for a build

`;

const NOTES = `
Without CONFIG it is ./build.conf, and without that the built-in base image.
Exit codes: 0 done, 1 a step failed, 2 usage or configuration, 3 this machine,
4 fetch or verification, 5 locked by another build, 124 time limit, 128+n signal.`;

/** The command line of a build; `list`: a line for each other command. */
export function buildProgram(list: readonly string[]): Command {
  return steered(
    new Command('realmfs-builder')
      .usage('[options] [CONFIG]')
      .description('Builds a Debian root file system or image from one shell file.')
      .option('--new', 'write build.conf from the template; never over an existing file'),
  )
    .option('--no-tmpfs', 'build on disk, in the output folder')
    .option('--tmpfs-size <size>', 'bound the tmpfs (2G, 900M)', parsed('--tmpfs-size', parseSize, 'size'))
    .option('--no-confirm', 'ask no question before the build')
    .option('--no-cache', 'reuse no layer; fetched packages are reused all the same')
    .option('--rebuild-from <step>', 'reuse no layer from this step on')
    .option('--refresh', 'ask the archive now whether it has changed')
    .option('--offline', 'no network at all: build from what is cached, or say what is missing')
    .option('--shell-on-failure', 'open a shell in the step that fails; its command retry runs the step again')
    .option('--keep-rootfs', 'leave the finished tree at DIR/rootfs')
    .option(...setOption)
    .option('--proxy <url>', 'for fetches only, never in the image; DIRECT: none')
    .option('--timeout <time>', 'for the whole build (90s, 30m, 2h); then exit 124', parsed('--timeout', parseTime, 'time'))
    .addOption(new Option('--progress <kind>', 'how to show progress').choices(progressKinds).default('auto'))
    .option('-q, --quiet', 'show no progress (short for --progress quiet)')
    .option('-v, --verbose', 'show the output of every command')
    .option('--debug', 'show commands and stack traces too')
    .addOption(colorOption())
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('beforeAll', EXAMPLES)
    .addHelpText('after', `\nCommands (realmfs-builder COMMAND --help says more):\n${list.join('\n')}\n${NOTES}`);
}

/** Reads it. */
export function readBuild(command: Command): Parsed {
  const raw = command.opts<{
    new?: true;
    tmpfs: boolean;
    tmpfsSize?: number;
    confirm: boolean;
    keepRootfs?: true;
    cache: boolean;
    rebuildFrom?: string;
    refresh?: true;
    offline?: true;
    shellOnFailure?: true;
    proxy?: string;
    timeout?: number;
    progress: ProgressKind;
    quiet?: true;
    verbose?: true;
    debug?: true;
    color: ColorChoice;
  }>();
  if (raw.offline && raw.refresh) throw new UsageError('--offline and --refresh: one fetches nothing, the other asks the archive');
  return {
    kind: 'options',
    options: {
      ...readSteering(command),
      isNew: raw.new === true,
      tmpfs: raw.tmpfs,
      tmpfsSize: raw.tmpfsSize,
      confirm: raw.confirm,
      keepRootfs: raw.keepRootfs === true,
      cache: raw.cache,
      rebuildFrom: raw.rebuildFrom,
      refresh: raw.refresh === true,
      offline: raw.offline === true,
      shellOnFailure: raw.shellOnFailure === true,
      proxy: raw.proxy,
      timeout: raw.timeout,
      progress: raw.quiet ? 'quiet' : raw.progress,
      verbose: raw.verbose === true || raw.debug === true,
      debug: raw.debug === true,
      color: raw.color,
    },
  };
}
