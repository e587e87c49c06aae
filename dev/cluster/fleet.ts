import { createHash } from 'node:crypto';
import { PROVIDER_TYPES } from '../../shared/allocation/asked.ts';
import { createRandom, type Random } from './random.ts';

/** A device as a line of the import. */
export interface FleetDevice {
  readonly id: string;
  readonly name: string;
  readonly type: 'phone' | 'tablet';
  readonly status: 'running';
  readonly providerType: (typeof PROVIDER_TYPES)[number];
  readonly nodeId: string;
  readonly region: string;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly cpuUsage: number;
  readonly memoryUsage: number;
  readonly storageUsage: number;
  readonly healthScore: number;
  readonly costPerHour: number;
  readonly androidVersion: string;
  readonly adbHost: string;
  readonly adbPort: number;
}

/** Cores, MB, MB: small ones are many, big ones few. */
const SIZES = [
  [2, 4_096, 32_768],
  [2, 4_096, 32_768],
  [4, 8_192, 65_536],
  [4, 8_192, 65_536],
  [8, 16_384, 131_072],
] as const;

const REGIONS = ['cn-north', 'cn-south', 'cn-east', 'eu-central'] as const;
const VERSIONS = ['11', '12', '13', '14'] as const;

/** Devices that differ in size, place and load; the same for the same seed. One in five is a tablet. */
export function* makeFleet(count: number, seed: number): Generator<FleetDevice> {
  const random = createRandom(seed);
  for (let index = 0; index < count; index += 1) yield makeDevice(index, seed, random);
}

function makeDevice(index: number, seed: number, random: Random): FleetDevice {
  const [cpuCores, memoryMB, storageMB] = random.pick(SIZES);
  const number = String(index + 1).padStart(6, '0');
  const type = index % 5 === 4 ? 'tablet' : 'phone';
  return {
    id: deviceId(seed, index),
    name: `${type}-${number}`,
    type,
    status: 'running',
    providerType: random.pick(PROVIDER_TYPES),
    nodeId: `node-${1 + (index % 25)}`,
    region: random.pick(REGIONS),
    cpuCores,
    memoryMB,
    storageMB,
    cpuUsage: random.below(60),
    memoryUsage: random.below(60),
    storageUsage: random.below(60),
    healthScore: 80 + random.below(21),
    costPerHour: cpuCores / 100,
    androidVersion: random.pick(VERSIONS),
    adbHost: `10.${Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${1 + (index % 250)}`,
    adbPort: 5_555,
  };
}

/** A UUID that follows from seed and number: importing a fleet again changes it instead of doubling it. */
function deviceId(seed: number, index: number): string {
  const digest = createHash('sha256').update(`device ${seed} ${index}`).digest('hex');
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}
