import { hash } from 'node:crypto';
import { z } from 'zod';
import { type Channel, NOTICE_DATA, type NoticeData, type NoticeType, type Priority } from './catalogue.ts';
import { FORMS, formOf } from './forms.ts';
import { tell } from './tell.ts';
import { LANGUAGES, type Language, type Said } from './words.ts';

/**
 * One row for the outbox, channel `notice`: what somebody is to be told. `event_id` follows from what is told, so the
 * same notice written twice is one (the database refuses the second), and told twice it has the same Idempotency-Key.
 */
export interface OutboxNotice<T extends NoticeType = NoticeType> {
  readonly channel: 'notice';
  readonly topic: T;
  /** The user: notices are limited per user. */
  readonly key: string;
  readonly event_id: string;
  readonly payload: { readonly userId: string; readonly data: NoticeData<T> };
}

/**
 * A notice to one user. It is written with the state change it tells of: `writeNotices` of shared/store/notices.ts in the
 * same transaction, or among other rows, with its `event_id` and ON CONFLICT DO NOTHING.
 *
 * @param told  the user and the data of the type; anything else is left out
 * @throws ZodError if the data does not fit the catalogue
 */
export function notice<T extends NoticeType>(type: T, told: { readonly userId: string } & NoticeData<T>): OutboxNotice<T> {
  const { userId, ...rest } = told;
  const data: NoticeData<T> = NOTICE_DATA[type].parse(rest);
  return { channel: 'notice', topic: type, key: userId, event_id: noticeId(type, userId, data), payload: { userId, data } };
}

/** An id made of what is told: the user, the form and the data that make it one notice (`once`). */
function noticeId(type: NoticeType, userId: string, data: Readonly<Record<string, unknown>>): string {
  const form = formOf(type, data);
  const hex = hash('sha256', JSON.stringify([form, userId, ...FORMS[form].once.map((field) => data[field])]), 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** What the notification-service is asked to send. */
export interface Notification {
  readonly userId: string;
  readonly type: NoticeType;
  readonly title: string;
  readonly message: string;
  /** The data of the type, and the texts in every language for a receiver who knows the user's. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly channels: readonly Channel[];
  readonly priority: Priority;
}

/** In which language and time zone (IANA) people are told. */
export interface Manner {
  readonly language: Language;
  readonly timeZone: string;
}

const noticePayload = z.object({ userId: z.string().min(1), data: z.record(z.string(), z.unknown()) });

/**
 * A stored row in words.
 *
 * @throws Error if the row is none of the catalogue's: it can never be told
 */
export function notificationOf(topic: string, payload: unknown, manner: Manner): Notification {
  if (!isNoticeType(topic)) throw new Error(`${topic} is no notice of the catalogue`);
  const { userId, data: stored } = noticePayload.parse(payload);
  const data: Readonly<Record<string, unknown>> = NOTICE_DATA[topic].parse(stored);
  const { channels, priority, title, message } = FORMS[formOf(topic, data)];
  const said = (text: Said, language: Language) => tell(text[language], data, { ...manner, language });
  const texts = Object.fromEntries(
    LANGUAGES.map((language) => [language, { title: said(title, language), message: said(message, language) }]),
  );
  const own = { title: said(title, manner.language), message: said(message, manner.language) };
  return { userId, type: topic, ...own, data: { ...data, texts }, channels, priority };
}

/** How urgent a stored row is; undefined when it is none of the catalogue's. */
export function priorityOf(topic: string, payload: unknown): Priority | undefined {
  const stored = noticePayload.safeParse(payload);
  if (!isNoticeType(topic) || !stored.success) return undefined;
  const form = formOf(topic, stored.data.data);
  return Object.hasOwn(FORMS, form) ? FORMS[form].priority : undefined;
}

/** Narrows a text to a type of the catalogue. */
export function isNoticeType(text: string): text is NoticeType {
  return Object.hasOwn(NOTICE_DATA, text);
}
