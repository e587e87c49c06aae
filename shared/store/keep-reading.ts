/** A change is in effect everywhere within 2 s; half of that leaves room for a slow read. */
const READ_EVERY_MS = 1_000;

/**
 * Reads something again every second, the first time before it resolves.
 *
 * @param read     keeps what it read
 * @param onError  hears of a read that failed; what was read last holds
 * @returns what ends it, once the read under way is over
 */
export async function keepReading(read: () => Promise<void>, onError: (error: unknown) => void): Promise<{ close(): Promise<void> }> {
  const once = () => read().catch(onError);
  await once();
  let reading: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    reading = once();
  }, READ_EVERY_MS);
  return {
    close: async () => {
      clearInterval(timer);
      await reading;
    },
  };
}
