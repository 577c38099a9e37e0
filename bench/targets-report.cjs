// Makes docs/benchmarks-targets.md of what targets.sh has measured, and prints it.
// Usage: node targets-report.cjs RESULTS FOLDER. A line of RESULTS: row, seconds, seconds of processors for what is plain;
// of memory: row, KiB, bytes of the tree as a tarball.
const { readFileSync, writeFileSync } = require('node:fs');
const os = require('node:os');
const [, , results, folder] = process.argv;
const rows = new Map();
for (const line of readFileSync(results, 'utf8').trimEnd().split('\n')) {
  const [row, first, second] = line.split('\t');
  rows.set(row, [...(rows.get(row) ?? []), { seconds: Number(first), more: Number(second) }]);
}
const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const CORES = 2;
const targets = ['tarball', 'tarball-zst', 'squashfs', 'erofs', 'ext4', 'realmfs'];
const parts = ['squashfs', 'ext4', 'tarball-zst'];
const rounds = rows.get('together').length;
const numbers = [...Array(rounds).keys()];
const of = (row, round) => rows.get(row)[round];
/** Ratios of each round by itself: a machine's speed changes in the course of many. */
const ratios = (name) => numbers.map((round) => of(name, round).seconds / of(`plain ${name}`, round).seconds);
const bounds = numbers.map((round) => {
  const plain = parts.map((name) => of(`plain ${name}`, round));
  return Math.max(...plain.map(({ seconds }) => seconds), plain.reduce((sum, { more }) => sum + more, 0) / CORES);
});
const together = numbers.map((round) => of('together', round).seconds / bounds[round]);
const seconds = (row) => median(rows.get(row).map((each) => each.seconds));
const range = (values) => `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
const mb = (row) => Math.round((rows.get(row)[0].seconds * 1024) / 1e6);
const treeSize = (row) => `${(rows.get(row)[0].more / 1024 ** 2).toFixed(0)} MiB`;
const met = (isMet) => (isMet ? 'met' : 'MISSED');

const table = [
  '| target | plain script, seconds | its processors, seconds | builder, seconds | builder / plain | from, to | at most 1.10 |',
  '|---|---|---|---|---|---|---|',
  ...targets.map((name) => {
    const ratio = median(ratios(name));
    const cpu = median(rows.get(`plain ${name}`).map(({ more }) => more)).toFixed(2);
    return `| \`${name}\` | ${seconds(`plain ${name}`).toFixed(2)} | ${cpu} | ${seconds(name).toFixed(2)} | ${ratio.toFixed(2)} | ${range(ratios(name))} | ${met(ratio <= 1.1)} |`;
  }),
];
const ratio = median(together);
const lines = `- \`${parts.join(',')}\` together, at most 1.15 times what two cores allow: ${seconds('together').toFixed(2)} s, the bound is ${median(bounds).toFixed(2)} s, ratio ${ratio.toFixed(2)} (${range(together)}): ${met(ratio <= 1.15)}
- memory of the builder's own process at its peak, under 200 MB for a root of 2 GiB: ${mb('memory large')} MB with a tree of ${treeSize('memory large')} (${mb('memory small')} MB with one of ${treeSize('memory small')}): ${met(mb('memory large') < 200)}
- the same process in a build from nothing, which reads the lists of packages and makes layers before it writes its one target: ${mb('memory cold')} MB`;
const text = `# What targets cost

\`npm run bench:targets\` has written this file. Medians of ${rounds} rounds on ${os.cpus().length} cores (${os.cpus()[0]?.model.trim()}), ${(os.totalmem() / 1024 ** 3).toFixed(0)} GiB of memory.

The tree is that of \`bench/project\`, ${treeSize('memory small')} as a tarball. Every layer is there before, so that a build writes targets and nothing else; tree, layers and
output lie on a tmpfs for both. The plain script (\`bench/plain-target.sh\`) runs the same programs with the same options one after the other, and makes **the same bytes**:
the bench stops if one of its results differs from the builder's.

- The builder's time goes from the end of the step \`finalize\` to the beginning of the step \`manifest\`: the walk through the tree, its copy in the order of a tarball where a
  target needs that, namespaces, programs, checks, SHA-256. What a build without any target would take is not in it.
- The plain script's time is that of the whole script: for \`erofs\`, \`ext4\` and \`realmfs\` it makes the ordered copy, too; for \`ext4\` and \`realmfs\` it counts blocks, sets times with
  debugfs and runs e2fsck; for \`realmfs\` it runs veritysetup and puts the header in front; then sync and sha256sum.
- A ratio is the median of the ratios of the rounds, each by itself: builder and script run one after the other.
- Before each round, other work on the machine took ${rows
  .get('foreign')
  .map((each) => each.seconds.toFixed(2))
  .join(', ')} of its processors; the rounds are only worth something where that is nearly 0.
- What two cores allow: the longest of the three plain scripts alone, or half of the seconds of processors that all three take, whichever is more.
- Memory: VmHWM of the process that runs \`dist/builder.js\`, while all of the targets above are written and every step comes from its layer, seen from outside. Of the large tree (\`bench/large\`) one half is noise, the other
  text, in files of 4 kB to 512 MiB; its output lies on a disk.

${table.join('\n')}

${lines}
`;
writeFileSync(`${folder}/benchmarks-targets.md`, text);
process.stdout.write(`${table.join('\n')}\n\n${lines}\n`);
