import { eventually } from './eventually.ts';

/** What a stream of events has said so far. */
export interface LiveStream {
  /** How often each event was heard. */
  readonly heard: ReadonlyMap<string, number>;
  /** The last word of an event. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into words of many shapes
  last(event: string): any;
  /** Waits until the last word of an event is one that is looked for. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into words of many shapes
  until(event: string, fits: (word: any) => boolean): Promise<void>;
  /** Resolves when the server has ended it. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

/** Longest wait on a busy machine, ms. */
const PATIENCE_MS = 30_000;

/** Listens to a stream of events as a browser does. */
export async function listenTo(url: string, cookie: string): Promise<LiveStream> {
  const gone = new AbortController();
  const { body } = await fetch(url, { headers: { cookie }, signal: gone.signal });
  const last = new Map<string, unknown>();
  const heard = new Map<string, number>();
  const ended = read();

  async function read(): Promise<void> {
    let text = '';
    try {
      for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += chunk;
        const messages = text.split('\n\n');
        text = messages.pop() ?? '';
        messages.forEach(take);
      }
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
  }

  function take(message: string): void {
    const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(message) ?? [];
    heard.set(event, (heard.get(event) ?? 0) + 1);
    last.set(event, JSON.parse(data));
  }

  return {
    heard,
    ended,
    last: (event) => last.get(event),
    until: (event, fits) =>
      eventually(() => {
        if (!last.has(event) || !fits(last.get(event))) throw new Error(`${event} is ${JSON.stringify(last.get(event))}`);
      }, PATIENCE_MS),
    close: async () => {
      gone.abort();
      await ended;
    },
  };
}
