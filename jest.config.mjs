import { existsSync } from 'node:fs';
import process from 'node:process';

/** Folders that may hold tests; an empty folder is not in a clone. */
const STATIONS = ['api', 'bench', 'cli', 'dashboards', 'dev', 'prisma', 'queues', 'scripts', 'shared', 'tests', 'workers'];
/** Arguments that leave the suite whole. Anything else picks tests, and a part cannot reach the threshold. */
const WHOLE = /^--(ci|json|outputFile|silent|verbose|coverage|maxWorkers|runInBand)(=|$)/;

export default {
  testMatch: ['**/*.test.ts'],
  roots: STATIONS.filter((folder) => existsSync(new URL(folder, import.meta.url))).map((folder) => `<rootDir>/${folder}`),
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2024', transform: { verbatimModuleSyntax: true } },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  globalSetup: '<rootDir>/tests/support/global-setup.ts',
  globalTeardown: '<rootDir>/tests/support/global-teardown.ts',
  testEnvironment: '<rootDir>/tests/support/clean-environment.ts',
  testTimeout: 60_000,
  maxWorkers: '100%',
  collectCoverage: process.argv.slice(2).every((argument) => WHOLE.test(argument)),
  collectCoverageFrom: ['{api,queues,workers,shared}/**/*.ts', '!**/*.test.ts'],
  coverageProvider: 'v8',
  coverageReporters: ['text', 'json-summary'],
  coverageThreshold: { global: { lines: 90, branches: 90 } },
};
