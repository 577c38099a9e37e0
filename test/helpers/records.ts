import { recordNames } from '../../src/records/names.ts';

/** The records of an image of the usual name, in the order in which they are printed. */
const { packages, files, sbom, provenance } = recordNames('base');
export const records: readonly string[] = [packages, files, sbom, provenance];
