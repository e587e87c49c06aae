/** Lists of available devices seldom live longer than that, ms. */
const SOON_MS = 60_000;

/** Whether a reservation begins while a list of available devices that was read before it may still be shown. */
export function beginsSoon({ startsAt }: { readonly startsAt: Date }, now = new Date()): boolean {
  return startsAt.getTime() - now.getTime() <= SOON_MS;
}
