import { openBrokerConnection } from '../../shared/broker/connection.ts';
import { createLogger } from '../../shared/logger.ts';
import { type Finding, fine } from './finding.ts';

const TIMEOUT_MS = 5_000;

/** Whether RabbitMQ takes a connection with the credentials that are configured. */
export async function checkBroker(url: string): Promise<Finding[]> {
  if (url === '')
    return [
      {
        name: 'rabbitmq',
        status: 'warning',
        says: 'RABBITMQ_URL is not set: events are off',
        fix: ['Set it if other services should hear them.'],
      },
    ];
  const { hostname, port } = new URL(url);
  const place = `${hostname}:${port || 5672}`;
  const { promise: settled, resolve } = Promise.withResolvers<string | undefined>();
  const logger = createLogger('doctor', 'warn', { write: (line) => resolve(reasonIn(line)) });
  const connection = await openBrokerConnection({ url, name: 'scheduler-doctor', logger, connectTimeoutMs: TIMEOUT_MS });
  connection.once('connected', () => resolve(undefined));
  if (connection.model !== undefined) resolve(undefined);
  const timer = setTimeout(resolve, TIMEOUT_MS, `no answer within ${TIMEOUT_MS / 1_000} s`);
  try {
    const reason = await settled;
    if (reason === undefined) return [fine('rabbitmq', `${place} takes our connection`)];
    const fix = ['Start it (`npm run services -- up` for development), and check RABBITMQ_URL: host, port, user, password, virtual host.'];
    return [{ name: 'rabbitmq', status: 'failed', says: `${place} cannot be used: ${reason}`, fix }];
  } finally {
    clearTimeout(timer);
    await connection.close();
  }
}

/** The connection tells its reasons to the log only. */
function reasonIn(line: string): string {
  const { err, msg } = JSON.parse(line) as {
    err?: { message?: string; code?: string; aggregateErrors?: { message?: string }[] };
    msg: string;
  };
  return err?.message || err?.aggregateErrors?.[0]?.message || err?.code || msg;
}
