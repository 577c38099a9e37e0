// Makes docs/benchmarks.md and docs/benchmarks.svg of what rebuild.sh has measured, and prints the table.
// Usage: node report.cjs RESULTS FOLDER. A line of RESULTS: row, seconds, bytes of the tarball, bytes of the store's growth.
const { readFileSync, writeFileSync } = require('node:fs');
const os = require('node:os');
const [, , results, folder] = process.argv;
const rows = new Map();
for (const line of readFileSync(results, 'utf8').trimEnd().split('\n')) {
  const [row, ...numbers] = line.split('\t');
  const [seconds, tarball, growth] = numbers.map(Number);
  rows.set(row, [...(rows.get(row) ?? []), { seconds, tarball, growth }]);
}
const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const of = (row, what) => median(rows.get(row).map((each) => each[what]));
const range = (row) => {
  const seconds = rows.get(row).map((each) => each.seconds);
  return `${Math.min(...seconds).toFixed(2)} to ${Math.max(...seconds).toFixed(2)}`;
};
const names = [
  ['plain', 'plain shell script'],
  ['mmdebstrap', 'mmdebstrap'],
  ['unlayered', 'cold, without layers'],
  ['cold', 'cold'],
  ['package', 'one package added'],
  ['middle', 'a module in the middle changed'],
  ['file', 'a file of realmfs-files changed'],
  ['last', 'one line of the last module changed'],
  ['nothing', 'nothing changed'],
];
// Of each round by itself: a machine's speed changes in the course of many.
const times = (row, other) => median(rows.get(row).map(({ seconds }, round) => seconds / rows.get(other)[round].seconds));
const mib = (bytes) => (bytes / 1024 ** 2).toFixed(1);
const table = [
  '| | seconds | from, to | times faster than the plain script | tarball, MiB | growth of the store, MiB |',
  '|---|---|---|---|---|---|',
  ...names.map(([row, name]) => {
    const seconds = of(row, 'seconds');
    const growth = ['plain', 'mmdebstrap', 'unlayered'].includes(row) ? '' : mib(of(row, 'growth'));
    return `| ${name} | ${seconds.toFixed(2)} | ${range(row)} | ${times('plain', row).toFixed(row === 'package' ? 2 : 1)} | ${mib(of(row, 'tarball'))} | ${growth} |`;
  }),
];
const goals = [
  ['nothing changed: at most 0.4 s', of('nothing', 'seconds'), (value) => value <= 0.4, 's'],
  ['the last module: at least 20 times faster', times('plain', 'last'), (value) => value >= 20, 'times'],
  ['one package added: at least 2.3 times faster', times('plain', 'package'), (value) => value >= 2.3, 'times'],
  ['layers cost a cold build at most 10 %', 100 * (times('cold', 'unlayered') - 1), (value) => value <= 10, '%'],
].map(([goal, value, isMet, unit]) => `- ${goal}: ${value.toFixed(2)} ${unit}, ${isMet(value) ? 'met' : 'MISSED'}`);
const text = `# Benchmarks

\`npm run bench\` has written this file. Medians of ${rows.get('plain').length} rounds on ${os.cpus().length} cores (${os.cpus()[0]?.model.trim()}), ${(os.totalmem() / 1024 ** 3).toFixed(0)} GiB of memory.

The image is that of \`bench/project\`: Debian bookworm with 14 packages and what they need, five modules, an uncompressed
tarball and its SHA-256. All .deb files are there before. Trees and output lie on a tmpfs for all, the store of layers on disk.
The plain shell script (\`bench/plain-script.sh\`) and mmdebstrap (\`bench/mmdebstrap.sh\`) do the same work for every change. How many times faster a row is, is the median of the rounds, each by itself.

${table.join('\n')}

${goals.join('\n')}

![seconds of each build, on a logarithmic scale](benchmarks.svg)
`;
writeFileSync(`${folder}/benchmarks.md`, text);
writeFileSync(`${folder}/benchmarks.svg`, plot());
process.stdout.write(`${table.join('\n')}\n\n${goals.join('\n')}\n`);

/** Bars of the medians, on a logarithmic scale. */
function plot() {
  const [left, width, bar, gap, top] = [250, 520, 22, 10, 34];
  const [least, most] = [0.1, 100];
  const x = (seconds) => left + (width * Math.log10(seconds / least)) / Math.log10(most / least);
  const height = top + names.length * (bar + gap) + 20;
  const lines = [0.1, 1, 10, 100].map(
    (at) =>
      `<line x1="${x(at)}" y1="${top - 8}" x2="${x(at)}" y2="${height - 16}" stroke="#bbb"/><text x="${x(at)}" y="${top - 14}" text-anchor="middle">${at} s</text>`,
  );
  const bars = names.map(([row, name], index) => {
    const y = top + index * (bar + gap);
    const seconds = of(row, 'seconds');
    const colour = ['plain', 'mmdebstrap'].includes(row) ? '#8a8f98' : '#2f6f9f';
    return `<text x="${left - 8}" y="${y + 16}" text-anchor="end">${name}</text><rect x="${left}" y="${y}" width="${(x(seconds) - left).toFixed(1)}" height="${bar}" fill="${colour}"/><text x="${(x(seconds) + 6).toFixed(1)}" y="${y + 16}">${seconds.toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 70}" height="${height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
${[...lines, ...bars].join('\n')}
</svg>
`;
}
