import { parseArgs } from 'node:util';
import { readConfig } from '../../shared/read-config.ts';
import { startStandIns } from './stand-ins.ts';

/*
 * All three stand-ins as one process:
 *   node dev/stand-ins/main.ts [--summary-port N] [--max-devices N] [--user-port N] [--billing-port N] [--notification-port N]
 * Ports are those of USER_SERVICE_URL, BILLING_SERVICE_URL and NOTIFICATION_SERVICE_URL unless given.
 * Prints one line of JSON with the addresses as soon as all of them listen.
 */
const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: { 'summary-port': text, 'max-devices': text, 'user-port': text, 'billing-port': text, 'notification-port': text },
});

const config = readConfig();
const portOf = (given: string | undefined, url: string) => Number(given ?? new URL(url).port);

const standIns = await startStandIns({
  secret: config.SERVICE_TOKEN_SECRET,
  userPort: portOf(values['user-port'], config.USER_SERVICE_URL),
  billingPort: portOf(values['billing-port'], config.BILLING_SERVICE_URL),
  notificationPort: portOf(values['notification-port'], config.NOTIFICATION_SERVICE_URL),
  summaryPort: Number(values['summary-port'] ?? 0),
  ...(values['max-devices'] === undefined ? {} : { defaultQuota: { limits: { maxDevices: Number(values['max-devices']) } } }),
});
const { user, billing, notification, summaryUrl } = standIns;
process.stdout.write(`${JSON.stringify({ user: user.url, billing: billing.url, notification: notification.url, summary: summaryUrl })}\n`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void standIns.close());
}
