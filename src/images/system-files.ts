/** Where a tree says what it is, and which packages it has. */
export const OS_RELEASE = ['usr/lib/os-release', 'etc/os-release'];
export const DPKG_STATUS = 'var/lib/dpkg/status';
/** Bytes that these files may have. */
export const LONGEST = { osRelease: 64 * 1024, dpkgStatus: 64 * 1024 ** 2 };
