import { pino } from 'pino';

/** The one shape of log line: JSON, with the process's name, never a secret. */
export type Logger = pino.Logger;

/** Paths whose values never reach a log. The list is tested by logging each of them. */
export const REDACTED_PATHS = [
  'authorization',
  'cookie',
  'password',
  'secret',
  'token',
  'adbHost',
  'adbPort',
  'adb_host',
  'adb_port',
  'providerConfig',
  'connectionString',
]
  .flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`])
  .concat([
    'headers["x-service-token"]',
    '*.headers["x-service-token"]',
    '*.*.headers["x-service-token"]',
    'headers["set-cookie"]',
    '*.headers["set-cookie"]',
  ]);

/**
 * @param name         the process, for example `api` or `worker-allocation`
 * @param level        lowest level written
 * @param destination  where lines go; standard output unless a test listens
 */
export function createLogger(name: string, level: string, destination?: pino.DestinationStream): Logger {
  const options: pino.LoggerOptions = {
    name,
    level,
    redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: pino.stdSerializers.errWithCause, error: pino.stdSerializers.errWithCause },
  };
  // Written at once: pino's buffered default tries for ever to write out the rest at exit when the reader of our output is
  // gone, so that the process would never end.
  return pino(options, destination ?? pino.destination({ dest: 1, sync: true }));
}
