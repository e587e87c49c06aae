import { z } from 'zod';

/** With the halves of characters (`\ud800`), which no database keeps. */
const CONTROL_CHARACTERS = /[\p{Cc}\p{Cs}]/u;

/** The id of a user or tenant: any text of 1..128 characters without control characters. */
export const partyId = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => !CONTROL_CHARACTERS.test(text), 'must not contain control characters or halves of characters');
