/** The address of a mirror, and user and password in the form of netrc(5), as wget reads it. */
export interface Credentials {
  /** Without user and password: command lines and names of files can hold it. */
  readonly address: string;
  /** Empty: the mirror asks for none. */
  readonly netrc: string;
}

/** Takes user and password out of an address. They belong to its host, and to no other one that it may lead to. */
export function splitCredentials(mirror: string): Credentials {
  const [, scheme = '', user = '', password = '', rest = ''] = /^(https?:\/\/)([^/@:]*)(?::([^/@]*))?@(.*)$/.exec(mirror) ?? [];
  if (scheme === '') return { address: mirror, netrc: '' };
  const host = /^(?:\[[^\]]*\]|[^/:]*)/.exec(rest)?.[0] ?? '';
  return { address: `${scheme}${rest}`, netrc: `machine ${word(host)} login ${word(user)} password ${word(password)}\n` };
}

function word(text: string): string {
  return `"${decoded(text).replace(/["\\]/g, '\\$&')}"`;
}

/** In an address characters may stand as `%20`. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Removes user and password from the addresses in a text. */
export function hideCredentials(text: string): string {
  // Names of apt's lists are made of addresses.
  return text.replace(/\b(https?\\*:\/\/)[^/\s"]+@/g, '$1***@').replace(/(\/lists\/)[^/\s"@]+@/g, '$1***@');
}
