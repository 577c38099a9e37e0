import type { Manifest } from './manifest-schema.ts';

/** What stands for this builder, its version left out, and for the meaning of the parameters. */
const BUILDER = 'urn:realmfs-builder';
const BUILD_TYPE = 'urn:realmfs-builder:build:1';

interface Input {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

/**
 * How the artefacts of a build were made: a statement of in-toto (v1) with the provenance of SLSA (v1). It holds no times: the same
 * build says the same. `SOURCE_DATE_EPOCH` is a parameter of its own, whether it was set or found.
 */
export function provenance(manifest: Manifest): object {
  const { inputs, artifacts, builder } = manifest;
  const { SOURCE_DATE_EPOCH: _, ...settings } = inputs.settings;
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: artifacts.map(({ file, sha256 }) => ({ name: file, digest: { sha256 } })),
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: {
          config: inputs.config?.file ?? null,
          settings,
          targets: manifest.targets,
          release: manifest.release,
          arch: manifest.arch,
          profile: manifest.profile,
          components: manifest.components,
          mirror: manifest.mirror,
          imageMirror: manifest.imageMirror,
          securityMirror: manifest.securityMirror,
          extraSources: manifest.extraSources,
          extraPins: manifest.extraPins,
          network: manifest.network,
          checkDates: manifest.checkDates,
        },
        internalParameters: { sourceDateEpoch: manifest.sourceDateEpoch },
        resolvedDependencies: dependencies(inputs),
      },
      runDetails: { builder: { id: BUILDER, version: { [builder.name]: builder.version } } },
    },
  };
}

/** Everything that the build has read, with its digest. */
function dependencies(inputs: Manifest['inputs']): Input[] {
  const one = (name: string, sha256: string): Input => ({ name, digest: { sha256 } });
  return [
    ...(inputs.config === null ? [] : [one(inputs.config.file, inputs.config.sha256)]),
    // Without a digest: a function of the file above, or a part of this program.
    ...inputs.modules.flatMap(({ step, sha256 }) => (sha256 === undefined ? [] : [one(step, sha256)])),
    ...inputs.binaryHooks.map(({ step, sha256 }) => one(step, sha256)),
    ...inputs.files.map(({ file, sha256 }) => one(`realmfs-files/${file}`, sha256)),
    ...inputs.localPackages.map(({ file, sha256 }) => one(file, sha256)),
    ...inputs.releases.map(({ file, sha256 }) => one(file, sha256)),
  ];
}
