import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type BillingServiceControl, startBillingService } from './billing-service.ts';
import { type NotificationServiceControl, startNotificationService } from './notification-service.ts';
import type { StandIn } from './stand-in.ts';
import { type QuotaSetting, startUserService, type UserServiceControl } from './user-service.ts';

/** Ports: 0 or left out = any free one. */
export interface StandInsOptions {
  /** Key of the service tokens they accept (HS256). */
  readonly secret: string;
  readonly userPort?: number;
  readonly billingPort?: number;
  readonly notificationPort?: number;
  readonly summaryPort?: number;
  readonly defaultQuota?: QuotaSetting | 'none';
}

export interface StandIns {
  readonly user: StandIn<UserServiceControl>;
  readonly billing: StandIn<BillingServiceControl>;
  readonly notification: StandIn<NotificationServiceControl>;
  /** `GET` it for what all three have been told, added up. */
  readonly summaryUrl: string;
  summary(): { readonly user: unknown; readonly billing: unknown; readonly notification: unknown };
  close(): Promise<void>;
}

/** Starts stand-ins for all three neighbours and a page that adds up what they were told. */
export async function startStandIns(options: StandInsOptions): Promise<StandIns> {
  const { secret, defaultQuota } = options;
  const user = await startUserService({ secret, port: options.userPort ?? 0, ...(defaultQuota === undefined ? {} : { defaultQuota }) });
  const billing = await startBillingService({ secret, port: options.billingPort ?? 0 });
  const notification = await startNotificationService({ secret, port: options.notificationPort ?? 0 });
  const summary = () => ({ user: user.summary(), billing: billing.summary(), notification: notification.summary() });
  const page = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(summary()));
  });
  await new Promise<void>((resolve, reject) => {
    page.once('error', reject);
    page.listen(options.summaryPort ?? 0, '127.0.0.1', resolve);
  });
  return {
    user,
    billing,
    notification,
    summary,
    summaryUrl: `http://127.0.0.1:${(page.address() as AddressInfo).port}/summary`,
    async close() {
      page.closeAllConnections();
      await Promise.all([user.close(), billing.close(), notification.close(), new Promise((resolve) => page.close(resolve))]);
    },
  };
}
