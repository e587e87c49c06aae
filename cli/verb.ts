import { type Command, InvalidArgumentError, Option } from 'commander';
import { type CommonWords, type Host, openSession, type Session } from './session.ts';

const COMMON = 'Common options:';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What a verb does: the words are its options, then come its arguments in order. */
export type Work<W> = (session: Session, words: W, ...given: string[]) => Promise<void>;

/** Gives a verb the options all of them have, and what it does. */
export function acting<W extends object>(command: Command, host: Host, work: Work<W>): Command {
  return command
    .addOption(new Option('--json', 'one JSON document, for scripts').helpGroup(COMMON))
    .addOption(new Option('--url <url>', 'address of the API (default: SCHEDULER_URL, else this machine and PORT)').helpGroup(COMMON))
    .addOption(new Option('--token <jwt>', 'who asks (default: SCHEDULER_TOKEN, else made from the configured secrets)').helpGroup(COMMON))
    .action(async () => {
      const words = command.opts<W & CommonWords>();
      await work(openSession(host, words), words, ...(command.processedArgs as string[]));
    });
}

/** The option of every write. */
export function repeatable(command: Command): Command {
  return command.option('--idempotency-key <key>', 'the same key and the same words: the first outcome again (default: a new key)');
}

/** The options of every list. */
export function paged(command: Command): Command {
  return command
    .addOption(new Option('--limit <n>', 'most rows').argParser(wholeNumber(1)).default(20).conflicts('all'))
    .option('--all', 'every row there is');
}

/** Reads a whole number of at least `min`. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= min && number <= max) return number;
    throw new InvalidArgumentError(
      max === Number.MAX_SAFE_INTEGER ? `It must be a whole number from ${min}.` : `It must be a whole number, ${min} to ${max}.`,
    );
  };
}

/** Reads an id. */
export function id(text: string): string {
  if (UUID.test(text)) return text;
  throw new InvalidArgumentError('It must be an id such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427.');
}
