import type { z } from 'zod';
import { CliFailure } from './cli-failure.ts';

/**
 * What is shown of an answer, checked. Fields nobody knows are left alone: `--json` gives them on as they came.
 *
 * @throws CliFailure when a newer or older API answers in another shape
 */
export function readAnswer<T>(shape: z.ZodType<T>, data: unknown): T {
  const read = shape.safeParse(data);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new CliFailure({
    exit: 'failed',
    code: 'UNEXPECTED_ANSWER',
    messages: [`The API answered in a way this version does not know: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}.`],
    hints: ['Use the version of the command that belongs to the API, or --json.'],
    cause: read.error,
  });
}
