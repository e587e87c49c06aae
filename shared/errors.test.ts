import { describe, expect, test } from '@jest/globals';
import { ERRORS, isErrorCode, messageOf, SchedulerError } from './errors.ts';

describe('an error of the catalogue', () => {
  test('takes its status and its sentence from its code', () => {
    const error = new SchedulerError('NO_DEVICE_AVAILABLE');
    expect(error).toMatchObject({
      name: 'SchedulerError',
      code: 'NO_DEVICE_AVAILABLE',
      statusCode: 409,
      message: 'Every matching device is busy.',
    });
    expect(error.messages).toEqual(['Every matching device is busy.']);
    expect([error.details, error.retryAfter, error.cause]).toEqual([undefined, undefined, undefined]);
  });

  test('carries sentences, details, a time to wait and the foreign error', () => {
    const cause = new Error('ECONNREFUSED');
    const error = new SchedulerError('STORE_UNAVAILABLE', { messages: ['One.', 'Two.'], details: { a: 1 }, retryAfter: 5, cause });
    expect(error).toMatchObject({ message: 'One. Two.', messages: ['One.', 'Two.'], details: { a: 1 }, retryAfter: 5, cause });
  });
});

describe('the catalogue', () => {
  test('gives refusals a 4xx and faults a 5xx, and says of every fault that asking later can help', () => {
    for (const [code, { status, retry, message }] of Object.entries(ERRORS)) {
      expect({ code, inRange: status >= 400 && status < 600, sentence: message.endsWith('.') }).toEqual({
        code,
        inRange: true,
        sentence: true,
      });
      if (status >= 500) expect({ code, retry }).toEqual({ code, retry: 'later' });
    }
  });

  test('knows its codes and nothing else', () => {
    expect(['QUOTA_EXCEEDED', 'NOPE', 'toString', ''].map(isErrorCode)).toEqual([true, false, false, false]);
  });
});

describe('the text of an unknown thrown thing', () => {
  test('is its message, or what it is as text', () => {
    expect([new Error('broken'), 'words', 7, undefined].map(messageOf)).toEqual(['broken', 'words', '7', 'undefined']);
  });
});
