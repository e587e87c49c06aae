import { z } from 'zod';
import {
  NOT_FOUND,
  type StandIn,
  type StandInAnswer,
  type StandInControl,
  type StandInOptions,
  type StandInRequest,
  startStandIn,
} from './stand-in.ts';

const limits = z.object({
  maxDevices: z.number().nullish(),
  maxConcurrentDevices: z.number().nullish(),
  maxCpuCoresPerDevice: z.number().nullish(),
  maxMemoryMBPerDevice: z.number().nullish(),
  maxStorageGBPerDevice: z.number().nullish(),
  totalCpuCores: z.number().nullish(),
  totalMemoryGB: z.number().nullish(),
  totalStorageGB: z.number().nullish(),
});

const quotaSetting = z.object({
  status: z.enum(['active', 'exceeded', 'suspended', 'expired']).default('active'),
  limits: limits.default({}),
  validFrom: z.string().nullable().default(null),
  validUntil: z.string().nullable().default(null),
});

/** A quota as it is set; what is left out is active, unlimited, for ever. */
export type QuotaSetting = z.input<typeof quotaSetting>;

const usageBody = z.object({
  deviceId: z.string(),
  cpuCores: z.number().min(0),
  memoryGB: z.number().min(0),
  storageGB: z.number().min(0),
  operation: z.enum(['increment', 'decrement']),
});

/** What the user-service believes a user holds. Memory and storage in GB. */
export interface StandInUsage {
  readonly devices: number;
  readonly cpuCores: number;
  readonly memoryGB: number;
  readonly storageGB: number;
}

const NO_USAGE: StandInUsage = { devices: 0, cpuCores: 0, memoryGB: 0, storageGB: 0 };

export interface UserServiceControl extends StandInControl {
  /** `none`: the user is unknown, 404. */
  setQuota(userId: string, quota: QuotaSetting | 'none'): void;
  setDefaultQuota(quota: QuotaSetting | 'none'): void;
  usageOf(userId: string): StandInUsage;
  /** The reports that counted, in the order they came: idempotency keys. */
  counted(): readonly string[];
  /** Reports that came again with a key known already. */
  repeats(): number;
}

export interface UserServiceOptions extends StandInOptions {
  /** The quota of users nobody set one for. Left out: active and unlimited. */
  readonly defaultQuota?: QuotaSetting | 'none';
}

/** Starts a user-service that answers quotas and adds up the usage it is told, each idempotency key once. */
export async function startUserService(options: UserServiceOptions): Promise<StandIn<UserServiceControl>> {
  let defaultQuota = parsedQuota(options.defaultQuota ?? {});
  const quotas = new Map<string, ReturnType<typeof parsedQuota>>();
  const usages = new Map<string, StandInUsage>();
  const counted = new Map<string, string>();
  let repeats = 0;
  const usageOf = (userId: string) => usages.get(userId) ?? NO_USAGE;

  function answer({ method, path, body, idempotencyKey }: StandInRequest): StandInAnswer {
    const [internal, quotasPart, user, userId = '', last] = path;
    if (internal !== 'internal' || quotasPart !== 'quotas' || user !== 'user') return NOT_FOUND;
    if (method === 'GET' && last === undefined) return readQuota(userId);
    if (method === 'POST' && last === 'usage') return addUsage(userId, body, idempotencyKey);
    return NOT_FOUND;
  }

  function readQuota(userId: string): StandInAnswer {
    const quota = quotas.get(userId) ?? defaultQuota;
    return quota === 'none'
      ? { status: 404, body: { message: 'no quota' } }
      : { status: 200, body: quotaBody(userId, quota, usageOf(userId)) };
  }

  function addUsage(userId: string, body: unknown, key: string | undefined): StandInAnswer {
    const parsed = usageBody.safeParse(body);
    if (!parsed.success) return { status: 400, body: { message: z.prettifyError(parsed.error) } };
    if (key === undefined) return { status: 400, body: { message: 'Idempotency-Key is needed' } };
    const said = JSON.stringify([userId, parsed.data]);
    const before = counted.get(key);
    if (before !== undefined) {
      repeats += 1;
      return before === said
        ? { status: 200, body: { success: true } }
        : { status: 422, body: { message: 'the key was used with another body' } };
    }
    counted.set(key, said);
    usages.set(userId, changed(usageOf(userId), parsed.data));
    return { status: 200, body: { success: true } };
  }

  const setQuota = (userId: string, quota: QuotaSetting | 'none') => void quotas.set(userId, parsedQuota(quota));
  const setDefaultQuota = (quota: QuotaSetting | 'none') => {
    defaultQuota = parsedQuota(quota);
  };
  const server = await startStandIn(options, {
    answer,
    summary: () => ({
      users: usages.size,
      reports: counted.size,
      repeats,
      use: [...usages.values()].reduce(sum, NO_USAGE),
      negative: [...usages.values()].filter((use) => use.devices < 0).length,
    }),
    controls: {
      quota: (body) => {
        const { userId, quota } = z.object({ userId: z.string(), quota: settable }).parse(body);
        setQuota(userId, quota);
      },
      'default-quota': (body) => setDefaultQuota(settable.parse(body)),
    },
  });
  return {
    ...server,
    control: { ...server.control, setQuota, setDefaultQuota, usageOf, counted: () => [...counted.keys()], repeats: () => repeats },
  };
}

const settable = z.union([z.literal('none'), quotaSetting]);

function parsedQuota(quota: QuotaSetting | 'none') {
  return settable.parse(quota);
}

function quotaBody(userId: string, quota: z.output<typeof quotaSetting>, use: StandInUsage) {
  return {
    id: `quota-${userId}`,
    userId,
    planId: 'plan-standard',
    planName: 'Standard',
    ...quota,
    usage: {
      currentDevices: use.devices,
      currentConcurrentDevices: use.devices,
      usedCpuCores: use.cpuCores,
      usedMemoryGB: use.memoryGB,
      usedStorageGB: use.storageGB,
    },
  };
}

function changed(use: StandInUsage, { operation, cpuCores, memoryGB, storageGB }: z.output<typeof usageBody>): StandInUsage {
  const sign = operation === 'increment' ? 1 : -1;
  return sum(use, { devices: sign, cpuCores: sign * cpuCores, memoryGB: sign * memoryGB, storageGB: sign * storageGB });
}

function sum(a: StandInUsage, b: StandInUsage): StandInUsage {
  return {
    devices: a.devices + b.devices,
    cpuCores: a.cpuCores + b.cpuCores,
    memoryGB: a.memoryGB + b.memoryGB,
    storageGB: a.storageGB + b.storageGB,
  };
}
