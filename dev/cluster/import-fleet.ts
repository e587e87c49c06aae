import { Readable } from 'node:stream';
import { z } from 'zod';
import { signToken, type TokenSecrets } from '../../cli/token.ts';
import { makeFleet } from './fleet.ts';

const report = z.object({ data: z.object({ received: z.number(), created: z.number(), updated: z.number(), failed: z.number() }) });

/** What an import did. */
export type FleetReport = z.output<typeof report>['data'];

/**
 * Loads a fleet through the HTTP import, streamed, as an operator would.
 *
 * @throws Error when the import is refused or a device of it is
 */
export async function importFleet(api: string, count: number, seed: number, secrets: TokenSecrets): Promise<FleetReport> {
  const token = await signToken({ user: 'fleet-operator', role: ['admin'], super: true, expiresIn: '600' }, secrets);
  const lines = function* () {
    for (const device of makeFleet(count, seed)) yield `${JSON.stringify(device)}\n`;
  };
  const response = await fetch(`${api}/scheduler/devices/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(Readable.from(lines())),
    duplex: 'half',
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`the fleet was not imported: ${response.status} ${answer}`);
  const { data } = report.parse(JSON.parse(answer));
  if (data.failed > 0) throw new Error(`${data.failed} devices of the fleet were not imported: ${answer.slice(0, 500)}`);
  return data;
}
