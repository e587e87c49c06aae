import { hash } from 'node:crypto';
import { z } from 'zod';
import { isStorable } from '../storable.ts';
import { type ConsumedAction, consumedAction } from './action.ts';
import { type Body, isConsumedTopic, topicRow } from './topics.ts';

/** What arrived: its routing key, its body as it came and the id it was sent under, if any. */
export interface Arrived {
  readonly topic: string;
  readonly content: Buffer;
  readonly messageId: string | undefined;
}

/** What it says: an action under an id that counts once, or why it says nothing. */
export type ReadMessage =
  | { readonly kind: 'event'; readonly eventId: string; readonly action: ConsumedAction }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Larger bodies are nobody's event, bytes. */
const MOST_BYTES = 256 * 1024;

/**
 * Reads a message. Flat bodies and enveloped ones (`{eventId, eventType, payload: {…}}`) say the same; fields nobody reads
 * are passed over. The id is the one in the body, else the message's, else made of key and body: a repeat has the same.
 */
export function readMessage({ topic, content, messageId }: Arrived): ReadMessage {
  if (!isConsumedTopic(topic)) return malformed(`nobody here listens to ${topic}`);
  if (content.length > MOST_BYTES) return malformed(`the body has ${content.length} bytes`);
  const said = parsed(content);
  if (said === undefined) return malformed('the body is no JSON object');
  const payload = said['payload'];
  const body = isBody(payload) && (said['eventType'] !== undefined || said['eventId'] !== undefined) ? payload : said;
  const { action: named, fields } = topicRow(topic);
  const action = consumedAction.safeParse({ ...fields(body), action: typeof named === 'function' ? named(body) : named });
  if (!action.success) return malformed(z.prettifyError(action.error));
  return { kind: 'event', eventId: idOf(said['eventId'], messageId) ?? idOfContent(topic, content), action: action.data };
}

function malformed(reason: string): ReadMessage {
  return { kind: 'malformed', reason: reason.slice(0, 1_000) };
}

function parsed(content: Buffer): Body | undefined {
  try {
    const value: unknown = JSON.parse(content.toString('utf8'));
    return isBody(value) ? value : undefined;
  } catch {
    // Said to the sender as what it is: no JSON.
    return undefined;
  }
}

function isBody(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function idOf(...said: unknown[]): string | undefined {
  return said.find((id): id is string => typeof id === 'string' && id.length >= 1 && id.length <= 200 && isStorable(id));
}

function idOfContent(topic: string, content: Buffer): string {
  return hash('sha256', Buffer.concat([Buffer.from(`${topic}\n`), content]), 'hex');
}
