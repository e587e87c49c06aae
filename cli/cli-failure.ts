import type { ExitName } from './exit-codes.ts';

/** What is known of a failure besides its sentence. */
export interface FailureFacts {
  readonly exit: ExitName;
  /** A code of the API's catalogue, or one of the command's own: `USAGE`, `UNREACHABLE`, `TIMEOUT`, `UNEXPECTED_ANSWER`. */
  readonly code: string;
  /** What was wrong, one sentence each. */
  readonly messages: readonly string[];
  /** What to do about it, one sentence each. */
  readonly hints?: readonly string[];
  /** HTTP status, if the API answered. */
  readonly statusCode?: number;
  readonly requestId?: string;
  /** Data the API gave to act on. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Seconds after which the API says asking again makes sense. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

/** Ends the command: what was wrong, where, and what to do about it. */
export class CliFailure extends Error {
  readonly facts: FailureFacts;

  constructor(facts: FailureFacts) {
    super(facts.messages.join(' '), facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'CliFailure';
    this.facts = facts;
  }
}

/** A failure of the command line: a value that cannot be meant. */
export function usageFailure(message: string, ...hints: readonly string[]): CliFailure {
  return new CliFailure({ exit: 'usage', code: 'USAGE', messages: [message], hints });
}
