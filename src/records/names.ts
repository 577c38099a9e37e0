/** The detached signature of SHA256SUMS, beside it. */
export const SIGNATURE = 'SHA256SUMS.gpg';

/** What `target` of an artefact says where it is a record of the build. */
export const RECORD = 'record';

/** The names of the records that lie beside the artefacts of an image. */
export interface RecordNames {
  /** Every entry of the tree, in the format of mtree(5). */
  readonly files: string;
  /** Packages and their versions, as livecd-rootfs lists them. */
  readonly packages: string;
  /** The bill of materials: SPDX 2.3, as JSON. */
  readonly sbom: string;
  /** How the artefacts were made: in-toto and SLSA. */
  readonly provenance: string;
}

/** Whether a name can be that of a record, whatever the image is called. */
export function isRecordFile(name: string): boolean {
  return Object.values(recordNames('')).some((end) => name.length > end.length && name.endsWith(end));
}

/** The records of an image of a name. */
export function recordNames(image: string): RecordNames {
  return { files: `${image}.mtree`, packages: `${image}.manifest`, sbom: `${image}.spdx.json`, provenance: `${image}.provenance.json` };
}
