import { z } from 'zod';

const CONTROL_CHARACTERS = /\p{Cc}/u;

/** The id of a user or tenant: any text of 1..128 characters without control characters. */
export const partyId = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => !CONTROL_CHARACTERS.test(text), 'must not contain control characters');
