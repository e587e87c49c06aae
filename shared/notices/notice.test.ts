import { describe, expect, test } from '@jest/globals';
import { END, exampleRow, holder, NOTICE_EXAMPLES, START } from '../../tests/support/notice-examples.ts';
import { END_REASONS } from '../allocation/end-reason.ts';
import { NOTICE_DATA, type NoticeType } from './catalogue.ts';
import { FORMS, formOf } from './forms.ts';
import { isNoticeType, notice, notificationOf } from './notice.ts';
import { placeholdersOf, tell } from './tell.ts';
import { END_REASON_WORDS, LANGUAGES, REFUSAL_WORDS } from './words.ts';

const MANNER = { language: 'en', timeZone: 'UTC' } as const;

/** The types and the ways the platform's contract names for them. */
const BY_CONTRACT: Readonly<Record<NoticeType, readonly string[]>> = {
  allocation_success: ['websocket', 'email'],
  allocation_failed: ['websocket'],
  allocation_expired: ['websocket', 'email'],
  allocation_expiring_soon: ['websocket'],
  device_released: ['websocket'],
  allocation_extended: ['websocket'],
  queue_joined: ['websocket'],
  queue_fulfilled: ['websocket', 'email'],
  queue_expired: ['websocket'],
  queue_cancelled: ['websocket'],
  reservation_created: ['websocket', 'email'],
  reservation_cancelled: ['websocket'],
  reservation_reminder: ['websocket'],
  reservation_executed: ['websocket'],
  reservation_failed: ['websocket'],
  reservation_expired: ['websocket'],
  billing_alert: ['websocket', 'email'],
};

const named = NOTICE_EXAMPLES.map((example) => [formOf(example[0], example[1]), example] as const);

describe('the catalogue', () => {
  test('has every type of the contract, with its ways', () => {
    expect(Object.keys(NOTICE_DATA).toSorted()).toEqual(Object.keys(BY_CONTRACT).toSorted());
    for (const [form, { channels }] of Object.entries(FORMS))
      expect({ form, channels }).toEqual({
        form,
        channels: form === 'billing_alert.arrears' ? ['websocket', 'email', 'sms'] : BY_CONTRACT[form.split('.')[0] as NoticeType],
      });
  });

  test('has an example of every form below', () => {
    expect(named.map(([form]) => form).toSorted()).toEqual(Object.keys(FORMS).toSorted());
  });

  test.each(named)('says %s whole in both languages, from its own fields', (form, [, data]) => {
    const { title, message, once } = FORMS[form];
    for (const language of LANGUAGES)
      for (const text of [title[language], message[language]]) {
        const filled = tell(text, data, { language, timeZone: 'Asia/Shanghai' });
        expect(filled).not.toMatch(/[{}]|undefined|null|NaN|Invalid/);
        expect(/\p{Script=Han}/u.test(filled)).toBe(language === 'zh');
        for (const { field } of placeholdersOf(text)) expect(Object.keys(data)).toContain(field);
      }
    const fieldsOf = (text: string) => placeholdersOf(text).map(({ field, way }) => `${field}:${way}`);
    expect(fieldsOf(message.zh).toSorted()).toEqual(fieldsOf(message.en).toSorted());
    for (const field of once) expect(Object.keys(data)).toContain(field);
  });

  test.each([...END_REASONS])('says why an allocation ended: %s', (endReason) => {
    expect(Object.keys(END_REASON_WORDS[endReason])).toEqual([...LANGUAGES]);
    const row = notice('device_released', { userId: 'ann', ...holder, durationSeconds: 3_661, endReason });
    expect(notificationOf(row.topic, row.payload, MANNER).message).toBe(
      `You no longer hold device d1: ${END_REASON_WORDS[endReason].en}. You used it for 1 h 1 min.`,
    );
  });

  test('says a refusal it has no words for in general words', () => {
    const row = notice('allocation_failed', { userId: 'ann', requestId: 'q1', code: 'SOMETHING_NEW' });
    expect(notificationOf(row.topic, row.payload, MANNER).message).toBe('You did not get a device: it cannot be done at the moment.');
    expect(Object.values(REFUSAL_WORDS).every((said) => LANGUAGES.every((language) => (said?.[language] ?? '') !== ''))).toBe(true);
  });
});

describe('a notice', () => {
  test.each(named)('of %s can be stored and told', (_form, example) => {
    const row = exampleRow(example);
    const notification = notificationOf(row.topic, JSON.parse(JSON.stringify(row.payload)), { language: 'zh', timeZone: 'UTC' });
    expect(notification).toMatchObject({ userId: 'ann', type: example[0], data: example[1] });
    expect(notification.data['texts']).toMatchObject({ zh: { title: notification.title, message: notification.message } });
  });

  test('carries nothing but the fields of its type', () => {
    const row = { userId: 'ann', ...holder, expiresAt: END, adbHost: '10.0.0.1' };
    expect(notice('allocation_success', row).payload).toEqual({ userId: 'ann', data: { ...holder, expiresAt: END } });
  });

  test('says moments in the time zone of the configuration', () => {
    const { topic, payload } = notice('allocation_success', { userId: 'ann', ...holder, expiresAt: END });
    expect(notificationOf(topic, payload, { language: 'en', timeZone: 'Asia/Shanghai' }).message).toMatch(/02\/01\/2026, 12:30/);
    expect(notificationOf(topic, payload, { language: 'zh', timeZone: 'UTC' }).message).toBe(
      '设备 d1 已分配给您，可使用至 2026/01/02 UTC 04:30。',
    );
  });

  test('told twice is the same one; of another end, user or form it is another', () => {
    const soon = (userId: string, expiresAt: string, minutesLeft: number) =>
      notice('allocation_expiring_soon', { userId, ...holder, expiresAt, minutesLeft }).event_id;
    expect(soon('ann', END, 10)).toBe(soon('ann', END, 9));
    expect(new Set([soon('ann', END, 10), soon('ann', START, 10), soon('bob', END, 10)]).size).toBe(3);
    const rows = NOTICE_EXAMPLES.map((example) => exampleRow(example));
    expect(new Set(rows.map(({ event_id }) => event_id)).size).toBe(NOTICE_EXAMPLES.length);
    expect(rows.every(({ event_id }) => /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/.test(event_id))).toBe(true);
  });

  test('that is none of the catalogue, or whose data do not fit, cannot be told', () => {
    expect(isNoticeType('toString')).toBe(false);
    expect(() => notificationOf('toString', { userId: 'ann', data: {} }, MANNER)).toThrow('no notice of the catalogue');
    expect(() => notificationOf('queue_joined', { userId: 'ann', data: {} }, MANNER)).toThrow('maxWaitMinutes');
    expect(() => tell('{nothing}', {}, MANNER)).toThrow('nothing to say for {nothing}');
    expect(() => tell('{a:sung}', { a: 1 }, MANNER)).toThrow('nothing to say for {a:sung}');
  });
});
