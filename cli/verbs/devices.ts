import { type Command, Option } from 'commander';
import { z } from 'zod';
import { DEVICE_TYPES, PROVIDER_TYPES } from '../../shared/allocation/asked.ts';
import { importFleet } from '../import-fleet.ts';
import { type PageWords, readPages } from '../read-pages.ts';
import type { Host, Session } from '../session.ts';
import { showList } from '../show-list.ts';
import type { Column } from '../table.ts';
import { acting, id, paged, repeatable, wholeNumber } from '../verb.ts';

const device = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  cpuCores: z.int(),
  memoryMB: z.int(),
  storageMB: z.int(),
  providerType: z.string(),
  androidVersion: z.string().nullable(),
  region: z.string().nullable(),
  healthScore: z.number(),
});

/** `devices`: the fleet. */
export function devicesVerb(program: Command, host: Host): void {
  const devices = program.command('devices').summary('the fleet: import, available, drain, activate').description('The fleet.');
  const load = devices
    .command('import')
    .description('Creates or updates devices, one JSON document a line (NDJSON). Wrong lines are left out and listed at the end.')
    .argument('<file>', 'the file, or - for standard input')
    .option('--errors <n>', 'most wrong lines to list', wholeNumber(0), 20);
  acting<{ errors: number; idempotencyKey?: string }>(repeatable(load), host, importFleet);
  const available = devices
    .command('available')
    .description('Lists devices that could be allocated now.')
    .addOption(new Option('--type <type>', 'kind of device').choices(DEVICE_TYPES))
    .addOption(new Option('--provider <provider>', 'provider').choices(PROVIDER_TYPES))
    .option('--region <region>', 'region')
    .option('--min-cpu <cores>', 'at least so many cores', wholeNumber(0))
    .option('--min-memory <MB>', 'at least so much memory', wholeNumber(0));
  acting<AvailableWords>(paged(available), host, showAvailable);
  change(devices, host, 'drain', 'Gives out no new allocation of a device; a running one goes on.', 'is drained');
  change(devices, host, 'activate', 'Takes a drained device back into service.', 'is in service');
}

interface AvailableWords extends PageWords {
  readonly type?: string;
  readonly provider?: string;
  readonly region?: string;
  readonly minCpu?: number;
  readonly minMemory?: number;
}

async function showAvailable(session: Session, words: AvailableWords): Promise<void> {
  const { type, provider, region, minCpu, minMemory } = words;
  const query = { deviceType: type, providerType: provider, region, minCpu, minMemory };
  const rows = await readPages(session, '/scheduler/devices/available', query, words);
  showList(session, rows, { shape: device, columns: () => COLUMNS, none: 'No such device is free.' });
}

const COLUMNS: readonly Column<z.output<typeof device>>[] = [
  { head: 'device', value: (row) => row.id },
  { head: 'name', value: (row) => row.name, least: 8 },
  { head: 'type', value: (row) => row.type },
  { head: 'cpu', value: (row) => String(row.cpuCores), right: true },
  { head: 'memory', value: (row) => gigabytes(row.memoryMB), right: true },
  { head: 'storage', value: (row) => gigabytes(row.storageMB), right: true, extra: 1 },
  { head: 'region', value: (row) => row.region ?? '', extra: 2 },
  { head: 'provider', value: (row) => row.providerType, extra: 3 },
  { head: 'health', value: (row) => String(row.healthScore), right: true, extra: 4 },
  { head: 'android', value: (row) => row.androidVersion ?? '', extra: 5 },
];

function gigabytes(megabytes: number): string {
  return megabytes < 1_024 ? `${megabytes} MB` : `${Math.round((megabytes / 1_024) * 10) / 10} GB`;
}

function change(devices: Command, host: Host, name: 'drain' | 'activate', description: string, done: string): void {
  const command = devices.command(name).description(description).argument('<device>', 'id of the device', id);
  acting<{ idempotencyKey?: string }>(repeatable(command), host, async (session, { idempotencyKey }, named = '') => {
    const { data } = await session.ask({ method: 'POST', path: `/scheduler/devices/${named}/${name}`, idempotencyKey });
    session.answer(data, () => `${session.screen.paint.green('✓')} ${named} ${done}`);
  });
}
