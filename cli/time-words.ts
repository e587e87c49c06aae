const SECOND_MS = 1_000;
const UNITS = [
  { name: 'd', seconds: 86_400 },
  { name: 'h', seconds: 3_600 },
  { name: 'min', seconds: 60 },
  { name: 's', seconds: 1 },
] as const;

/** A time as people say it: the two largest units, `1 h 5 min`. @param seconds  not negative */
export function durationWords(seconds: number): string {
  const whole = Math.round(seconds);
  const first = UNITS.findIndex((unit) => whole >= unit.seconds);
  if (first === -1) return '0 s';
  const [large, small] = [UNITS[first], UNITS[first + 1]];
  if (large === undefined) return '0 s';
  const count = Math.floor(whole / large.seconds);
  // Seconds matter only below a quarter of an hour.
  const rest = small === undefined || (small.name === 's' && count >= 15) ? 0 : Math.floor((whole % large.seconds) / small.seconds);
  return rest === 0 || small === undefined ? `${count} ${large.name}` : `${count} ${large.name} ${rest} ${small.name}`;
}

/** How far an instant is away: `in 12 min`, `3 min ago`, `now`. */
export function distanceWords(at: Date, now: Date): string {
  const seconds = Math.abs(at.getTime() - now.getTime()) / SECOND_MS;
  if (seconds < 1) return 'now';
  // Above a minute nobody counts seconds.
  const words = durationWords(seconds < 60 ? seconds : Math.round(seconds / 60) * 60);
  return at > now ? `in ${words}` : `${words} ago`;
}

/** An instant by the local clock, with its zone; the day is left out where it is today: `17:02 UTC`, `27 Nov 17:02 UTC`. */
export function clockWords(at: Date, now: Date, timeZone: string): string {
  const parts = (date: Date) =>
    Object.fromEntries(
      new Intl.DateTimeFormat('en-GB', {
        timeZone,
        year: 'numeric',
        month: 'short',
        day: 'numeric',
        hour: '2-digit',
        minute: '2-digit',
        hourCycle: 'h23',
        timeZoneName: 'short',
      })
        .formatToParts(date)
        .map(({ type, value }) => [type, value]),
    );
  const [then, today] = [parts(at), parts(now)];
  const time = `${then['hour']}:${then['minute']} ${then['timeZoneName']}`;
  if (then['year'] !== today['year']) return `${then['day']} ${then['month']} ${then['year']} ${time}`;
  return then['day'] === today['day'] && then['month'] === today['month'] ? time : `${then['day']} ${then['month']} ${time}`;
}
