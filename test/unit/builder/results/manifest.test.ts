import { expect, test } from 'vitest';
import { sumsText } from '../../../../src/builder/results/manifest.ts';
import { bash } from '../../../helpers/chroot-scripts.ts';

test('SHA256SUMS is what sha256sum reads', () => {
  const digest = 'a'.repeat(64);
  const artifacts = ['a.tar', 'b c.ext4'].map((file) => ({ target: 't', file, size: 0, sha256: digest }));
  expect(sumsText(artifacts)).toBe(`${digest}  a.tar\n${digest}  b c.ext4\n`);
  expect(sumsText([])).toBe('');
  const { stderr } = bash('sha256sum --check --strict --status <(printf %s "$1")', sumsText(artifacts));
  expect(stderr).not.toContain('improperly formatted');
});
