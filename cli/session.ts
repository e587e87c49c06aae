import type { RedisAddress } from '../shared/run/redis.ts';
import { type ApiAnswer, type ApiCall, type ApiCaller, createApiCaller } from './api-caller.ts';
import type { CliEnvironment } from './cli-environment.ts';
import { CliFailure, usageFailure } from './cli-failure.ts';
import { credentialsFor } from './credentials.ts';
import type { ExitName } from './exit-codes.ts';
import { createProgress, type Progress, type ProgressStream } from './progress.ts';
import { createScreen, type Screen, type Terminal } from './screen.ts';

/** What every verb understands. */
export interface CommonWords {
  readonly url?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** The world a command runs in; `main.ts` gives the real one. */
export interface Host {
  readonly environment: CliEnvironment;
  readonly stdout: Terminal & { write(text: string): unknown };
  readonly stderr: ProgressStream;
  /** Standard input, for what is read from `-`. */
  readonly stdin: NodeJS.ReadableStream;
  /** Keys of tokens, made up if there are none; throws in production. */
  readonly secrets: () => { userSecret: string; serviceSecret: string };
  /** What is wrong with the configuration, and what it says; without a checkout there may be none. */
  readonly configuration: () => ConfigurationFacts;
  exitWith(name: ExitName): void;
}

/** The configuration as `doctor` wants it. */
export interface ConfigurationFacts {
  readonly problems: readonly { readonly variable: string; readonly problem: string }[];
  readonly warnings: readonly string[];
  /** Names that are set, in the environment or a file. */
  readonly said: readonly string[];
  /** How to reach the servers, if nothing is wrong. */
  readonly servers: ServerAddresses | undefined;
}

/** How to reach what the processes stand on. */
export interface ServerAddresses {
  readonly databaseUrl: string;
  readonly redis: RedisAddress;
  readonly queuePrefix: string;
  readonly rabbitmqUrl: string;
  /** By name: only those that were set, a stand-in has no fixed address. */
  readonly neighbourUrls: Readonly<Record<string, string>>;
}

/** One run of a verb: whom to ask, and how to answer. */
export interface Session {
  readonly host: Host;
  readonly url: string;
  readonly screen: Screen;
  readonly json: boolean;
  readonly progress: Progress;
  /** Asks the API; what takes longer than two seconds is said. */
  ask(call: ApiCall): Promise<ApiAnswer>;
  /** The same, for who says how far it is themselves. */
  send(call: ApiCall): Promise<ApiAnswer>;
  /** Answers: the document for scripts, or the text for people. */
  answer(document: unknown, people: () => string): void;
}

/** @throws CliFailure when `--url` is not one */
export function openSession(host: Host, words: CommonWords): Session {
  const { environment } = host;
  const url = words.url ?? environment.url;
  assertUrl(url, words.url === undefined ? 'SCHEDULER_URL' : '--url');
  const json = words.json === true;
  const api: ApiCaller = createApiCaller(url, () => credentialsFor(environment, words.token));
  const progress = createProgress(host.stderr, json);
  return {
    host,
    url,
    screen: createScreen(host.stdout, environment),
    json,
    progress,
    send: api.call,
    ask: (call) => withProgress(progress, url, () => api.call(call)),
    answer: (document, people) => void host.stdout.write(`${json ? JSON.stringify(document, null, 2) : people()}\n`),
  };
}

async function withProgress<T>(progress: Progress, url: string, work: () => Promise<T>): Promise<T> {
  const since = performance.now();
  progress.show(() => `waiting for ${url} … ${Math.round((performance.now() - since) / 1_000)} s`);
  try {
    return await work();
  } finally {
    progress.stop();
  }
}

function assertUrl(url: string, from: string): void {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return;
  throw usageFailure(`${from}: ${url} is not an address.`, 'It looks like http://scheduler.internal:30002');
}

/** True for a failure of that code. */
export function isFailure(error: unknown, code: string): error is CliFailure {
  return error instanceof CliFailure && error.facts.code === code;
}
