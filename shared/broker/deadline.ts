/** Resolves when the work is done or the time (ms) is up, whichever is first. Rejects as the work does before that. */
export async function withDeadline(work: Promise<unknown>, deadlineMs: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, deadlineMs);
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
