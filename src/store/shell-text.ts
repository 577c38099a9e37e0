/**
 * What can be told about a piece of shell from its text. Everything here errs on one side: where a
 * text is not understood, it is said to reach everything.
 */

/** The text of build.conf as bash prints it (`declare -f`), parted. */
export interface TopLevel {
  /** What runs each time that build.conf is read, beside plain assignments; empty: nothing. */
  readonly commands: string;
  /** The lines that expand something: their values may be others inside the image than when they were evaluated. */
  readonly expansions: string;
  /** False: it may read a file, run a program or ask which files there are, as far as can be told. */
  readonly readsNothing: boolean;
}

/** A function, up to the first brace that can end it, and what stands behind that on its line. */
const FUNCTION = /^ {4}function [^\n]+ \(\) *\n {4}\{ *\n(?:(?! {4}\})[^\n]*\n)* {4}\}([^\n]*)\n?/gm;
/** Nothing, or redirections of each call. A command there runs when build.conf is read. */
const PLAIN_END = /^(?: *(?:\d*(?:>>|<|>\||>)&?|&>>?) *[\w./-]+)* *;?$/;

/**
 * The commands at the top level of a build.conf: `text` is that of a function that bash has made of
 * it and printed, without comments and with one statement a line. Function definitions are left
 * out, and so are assignments: their values count where they are used.
 */
export function topLevel(text: string): TopLevel {
  const body = text.replace(/^[^\n]*\n\{ *\n/, '').replace(/\n\}\s*$/, '');
  const rest = body.replace(FUNCTION, (whole, end: string) => (PLAIN_END.test(end) ? '' : whole)).trim();
  const expansions = rest
    .split('\n')
    .filter((line) => /[$`]/.test(line))
    .join('\n');
  const commands = isOnlyAssignments(rest) ? '' : rest;
  return { commands, expansions, readsNothing: readsNothing(commands) && !mayGlob(rest) };
}

const HARMLESS = new Set(
  ': true for case shopt set umask export readonly declare typeset unset fi done esac then else do { } ;; in break continue [[ [ (('.split(
    ' ',
  ),
);
const LEADING = /^(?:(?:if|then|else|elif|while|until|do|!|\{)\s+)*/;

/** True if a word outside of quotes may be the pattern of file names, or an expansion that holds one. */
function mayGlob(text: string): boolean {
  const bare = text
    .replace(/\\[\s\S]|'[^']*'|"(?:[^"\\]|\\[\s\S])*"/g, '')
    .replace(/\$\{[^{}]*\}/g, '$')
    .replace(/\w+\[[^\]]*\]\+?=|\[\[|\]\]|(?:^|\s)[[\]](?=\s|;|$)/gm, ' ');
  if (/[*?[]/.test(bare)) return true;
  return /[*?[]/.test(text) && /=\([^)]*\$|\b(?:for|set)\b[^\n]*\$/.test(bare);
}

/** True if commands read no file and run no program, as far as can be told. */
function readsNothing(commands: string): boolean {
  if (/`|\$\((?!\()|[<>]\(|(?:^|[^<])<(?![<=])|>/.test(commands)) return false;
  for (const piece of commands.split(/\n|;|&&|\|\||\|/)) {
    const command = piece.trim().replace(LEADING, '').trim();
    const [first = ''] = command.split(/\s/);
    if (command === '' || HARMLESS.has(first.replace(/^\(\(.*/, '((')) || /^[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=/.test(first)) {
      // Whether a file is there.
      if (/^\[/.test(first) && /\s-[abcdefghkprstuwxGLNOS]\s/.test(command)) return false;
      continue;
    }
    return false;
  }
  return true;
}

/** True if the text holds nothing but assignments without command substitution. */
function isOnlyAssignments(text: string): boolean {
  const word = /(?:[^\s;&|()<>'"`\\$]|\\[\s\S]|\$(?!\()(?!')|'[^']*'|\$'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\`$]|\\[\s\S]|\$(?!\())*")/y;
  const name = /(?:(?:export|readonly|declare|typeset)(?: -[a-zA-Z]+)*\s+)?[A-Za-z_][A-Za-z0-9_]*(?:\[[A-Za-z0-9_.-]+\])?\+?=/y;
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match !== null;
  };
  while (at < text.length) {
    if (take(/[\s;]+/y)) continue;
    if (!take(name)) return false;
    if (take(/\(/y)) while (!take(/\)/y)) if (!take(/\s+/y) && !take(word)) return false;
    while (take(word));
    if (at < text.length && !/[\s;]/.test(text[at] ?? '')) return false;
  }
  return true;
}

/** Which of the functions a text can call, with their texts. */
export interface Reach {
  /** True if names can be made at run time: then all functions count. */
  readonly isIndirect: boolean;
  readonly functions: ReadonlyMap<string, string>;
}

/**
 * The functions that `texts` can reach: those whose names stand in them as words, and so on. All of
 * them if a text can call what it does not name; `plain` are texts that are known not to.
 */
export function reach(texts: readonly string[], plain: readonly string[], functions: ReadonlyMap<string, string>): Reach {
  const found = new Map<string, string>();
  const open = texts.map((text) => ({ text: joinLines(text), isPlain: false })).concat(plain.map((text) => ({ text, isPlain: true })));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { text, isPlain } = next;
    if (!isPlain && callsIndirectly(text)) return { isIndirect: true, functions };
    for (const [name, body] of functions) {
      if (found.has(name) || !holdsWord(text, name)) continue;
      found.set(name, body);
      open.push({ text: body, isPlain: false });
    }
  }
  return { isIndirect: false, functions: found };
}

/**
 * The text of a built-in module without what calls nothing: lines of comments, and what `info` and the like say. Behind
 * a here document, or a quote that goes on, the text stays as it is: there a line is not what it seems.
 */
export function withoutProse(text: string): string {
  const lines = text.split('\n');
  const isOpen = (line: string): boolean => !/^\s*#/.test(line) && (line.includes('<<') || odd(line, '"') || odd(line, "'"));
  const end = lines.findIndex(isOpen);
  const plain = lines.slice(0, end < 0 ? lines.length : end).map((line) => line.replace(/^\s*#.*$/, '').replace(SAYS, '$1'));
  return [...plain, ...lines.slice(plain.length)].join('\n');
}

/** A helper with one text that calls nothing. */
const SAYS = /^(\s*(?:info|warn|fatal)) (?:'[^']*'|"(?:[^"\\`$]|\$\w+)*")$/;

function odd(line: string, quote: string): boolean {
  return line.split(quote).length % 2 === 0;
}

/** True if a name stands in a text by itself: not as a part of a longer one. */
function holdsWord(text: string, name: string): boolean {
  const part = /[\w.+-]/;
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    if (!part.test(text[at - 1] ?? ' ') && !part.test(text[at + name.length] ?? ' ')) return true;
  }
  return false;
}

/** Builtins by which a name that stands nowhere becomes a call, or that read code from elsewhere. */
const INDIRECT: readonly RegExp[] = [
  /(?:^|[^\w./-])(?:eval|source|module|trap|alias|enable|coproc|compgen|complete|bash|sh|dash)(?:$|[^\w./-])/m,
  /(?:^|[\s;&|(){}!])\.\s/m,
  /`|@P\}|\bcommand_not_found_handle\b/,
  // A brace expansion in the place of a command.
  /(?:^|[\n;&|(])\s*[\w.-]*\{[^}\s]*,/,
  /\b(?:declare|typeset|export|readonly|local|unset)\s+(?:-\w+\s+)*-\w*[fF]\b[^\n;]*\$/,
  /\b(?:mapfile|readarray)\b[^\n;]*-C/,
  /\b(?:command|builtin|exec|time|type)\b[^\n;|&]*\$/,
];
const KEYWORDS = /^(?:(?:then|do|else|elif|if|while|until|!|time(?:\s+-p)?|function|select|in)(?=\s|$)\s*)+/;

/** A text as bash reads it: what a backslash parts at the end of a line is one word. */
export function joinLines(text: string): string {
  return text.replaceAll('\\\n', '');
}

/** True if a text can call a function whose name does not stand in it. */
export function callsIndirectly(text: string): boolean {
  const joined = joinLines(text);
  return INDIRECT.some((pattern) => pattern.test(joined)) || makesCommands(joined);
}

/** True if a command of a text is not a plain word: which one it is may be found out when it runs. */
function makesCommands(text: string): boolean {
  // Plain expansions stand for a word; what is in them is no command.
  const flat = text.replace(/\$\{[#!]?\w+(?:\[[^\]{}$`()]*\])?[^{}$`()"'\\]*\}/g, '$$x').replace(/([\w\]]\+?=)\([^()`]*\)/g, '$1x');
  for (const piece of flat.split(/[\n;&|(){}]/)) {
    const command = piece.trim().replace(KEYWORDS, '');
    const [first = ''] = command.split(/\s/);
    const isAssignment = /^[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=/.test(first);
    // After an assignment or a redirection comes the command.
    if (isAssignment || /^\d*[<>]/.test(first)) {
      if (/\s["']*\$/.test(command)) return true;
    } else if (/[$"'\\*?~]|\[./.test(first) && first !== '[[') return true;
  }
  return false;
}

/**
 * True if a text names the project folder: then a step sees it, and depends on all of it. A text that finds the folder in another
 * way finds nothing in it.
 */
export function namesProject(text: string): boolean {
  return /REALMFS_PROJECT|realmfs\/project|\/dev\/realmfs(?!\/(?:lib|in|out)\b)|BASH_SOURCE/.test(text);
}

/** Builtins that show variables: with a flag that says so, or one that cannot be read, or without a name. */
const SHOWS: readonly RegExp[] = [
  /(?:^|[\s;&|(){}!])(?:source|\.)\s|\$\{!|\b(?:compgen|printenv|eval)\b/m,
  /\b(?:declare|typeset|local|export|readonly)(?:\s+[-+]\w+)*\s+(?:[-+]\w*[pn]|["'$\\])/,
  /(?:^|[\s;&|(])(?:set|env|(?:export|declare|typeset|readonly)(?:\s+[-+]\w+)*)\s*(?:$|[;|&)<>])/m,
];

/** True if a text can read variables that it does not name. */
export function readsVariablesIndirectly(text: string): boolean {
  const joined = joinLines(text);
  return SHOWS.some((pattern) => pattern.test(joined)) || makesCommands(joined);
}

/** True if what a text does can depend on the lines in which it and its callers stand, which comments move. */
export function namesLines(text: string): boolean {
  return /\bLINENO\b|\bBASH_LINENO\b|(?<![\w./-])caller(?![\w./-])/.test(joinLines(text));
}
