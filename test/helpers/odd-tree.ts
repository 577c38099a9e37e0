import path from 'node:path';
import { bare, type Machine } from './machine.ts';

/** A tree with what is hard to keep. */
export const oddTree = `${bare}IMAGE_FREE_SPACE=16M
POST_INSTALL_MODULES=odd
odd() {
    mkdir -p /odd/empty /odd/deep/er
    echo one >/odd/a; ln /odd/a /odd/b; ln -s ../a /odd/deep/link; ln -s nowhere /odd/broken
    echo s >/odd/setuid; chmod 4711 /odd/setuid; chmod 1777 /odd/empty
    echo o >/odd/owned; chown 4000000000:99 /odd/owned
    echo q >"/odd/a \\"quoted\\" 'name'"; echo n >$'/odd/new\\nline'
    truncate -s 3M /odd/sparse; echo end >>/odd/sparse
    mkfifo /odd/pipe; touch -d 2001-01-01 /odd/old
    date +%s%N >/dev/null
}
`;
/** What a tree holds: a line for each entry, and a digest of each file. */
const LISTING =
  'cd "$tree"; { find . -mindepth 1 ! -type d -printf "%p %y %m %U %G %s %l %n %Ts\\0"; find . -mindepth 1 -type d ! -path ./lost+found -printf "%p %y %m %U %G %Ts\\0"; } | sort -z | sha256sum; find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum';

/** Shows a tree at $tree, in a mount namespace of its own, and lists it. */
export function listing(machine: Machine, out: string, show: string): string {
  return machine.shell(
    `mkdir -p "$2"; unshare --mount --propagation private bash --norc -euc 'out=$1 tree=$2; mount -t tmpfs tree "$tree"; mkdir "$tree/in"; eval "$3"; eval "$4"' tree "$1" "$2" "$3" "$4"`,
    out,
    path.join(machine.folder, 'tree'),
    show,
    LISTING,
  );
}
