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

const balanceSetting = z.object({
  balance: z.union([z.number(), z.string()]),
  status: z.enum(['active', 'normal', 'low', 'insufficient', 'frozen', 'suspended']),
});

export type BalanceSetting = z.output<typeof balanceSetting>;

const item = z.object({
  deviceId: z.string(),
  deviceName: z.string(),
  userId: z.string(),
  tenantId: z.string().nullable(),
  allocationId: z.string(),
  deviceConfig: z.object({ cpuCores: z.number(), memoryMB: z.number(), storageMB: z.number() }),
  duration: z.int().min(0),
  startTime: z.iso.datetime(),
  endTime: z.iso.datetime(),
});

const batchBody = z.object({
  items: z
    .array(item.extend({ idempotencyKey: z.string() }))
    .min(1)
    .max(100),
});

/** What is on the books for one allocation. */
export type BilledRecord = z.output<typeof item>;

export interface BillingServiceControl extends StandInControl {
  setBalance(userId: string, balance: BalanceSetting): void;
  setDefaultBalance(balance: BalanceSetting): void;
  /** The status with which the batch route says that it does not exist; `undefined`: it does. */
  setBatchRoute(missing: 404 | 405 | undefined): void;
  /** Items of this allocation are refused inside an otherwise good batch, and alone. */
  refuseItem(allocationId: string): void;
  acceptItem(allocationId: string): void;
  recordOf(allocationId: string): BilledRecord | undefined;
  records(): readonly BilledRecord[];
  /** Items that came again with a key known already. */
  repeats(): number;
  /** Batch keys that came with another composition than before. */
  reshuffled(): number;
}

export interface BillingServiceOptions extends StandInOptions {
  /** The balance of users nobody set one for. Left out: 100, active. */
  readonly defaultBalance?: BalanceSetting;
}

/** Starts a billing-service that answers balances and books the seconds it is told, each allocation once. */
export async function startBillingService(options: BillingServiceOptions): Promise<StandIn<BillingServiceControl>> {
  let defaultBalance: BalanceSetting = options.defaultBalance ?? { balance: 100, status: 'active' };
  let batchMissing: 404 | 405 | undefined;
  const balances = new Map<string, BalanceSetting>();
  const records = new Map<string, BilledRecord>();
  const batches = new Map<string, string>();
  const refused = new Set<string>();
  let repeats = 0;
  let reshuffled = 0;

  function answer({ method, path, body, idempotencyKey }: StandInRequest): StandInAnswer {
    const route = path.join('/');
    if (method === 'GET' && route.startsWith('api/internal/balance/user/'))
      return { status: 200, body: balances.get(path[4] ?? '') ?? defaultBalance };
    if (method !== 'POST') return NOT_FOUND;
    if (route === 'api/internal/metering/device-usage') return addSingle(body, idempotencyKey);
    if (route === 'api/internal/metering/device-usage/batch')
      return batchMissing === undefined ? addBatch(body, idempotencyKey) : { status: batchMissing, body: {} };
    return NOT_FOUND;
  }

  function addSingle(body: unknown, key: string | undefined): StandInAnswer {
    const parsed = item.safeParse(body);
    if (!parsed.success) return { status: 400, body: { message: z.prettifyError(parsed.error) } };
    if (key !== parsed.data.allocationId) return { status: 400, body: { message: 'Idempotency-Key must be the allocation id' } };
    const status = book(parsed.data);
    return { status: status === 'rejected' ? 422 : 200, body: { allocationId: parsed.data.allocationId, status } };
  }

  function addBatch(body: unknown, key: string | undefined): StandInAnswer {
    const parsed = batchBody.safeParse(body);
    if (!parsed.success) return { status: 400, body: { message: z.prettifyError(parsed.error) } };
    if (key === undefined) return { status: 400, body: { message: 'Idempotency-Key is needed' } };
    const composition = parsed.data.items
      .map(({ allocationId }) => allocationId)
      .sort()
      .join();
    if ((batches.get(key) ?? composition) !== composition) reshuffled += 1;
    batches.set(key, composition);
    const results = parsed.data.items.map(({ idempotencyKey, ...row }) => ({
      allocationId: row.allocationId,
      status: idempotencyKey === row.allocationId ? book(row) : 'rejected',
    }));
    return { status: 200, body: { results } };
  }

  function book(row: BilledRecord): 'recorded' | 'duplicate' | 'rejected' {
    if (refused.has(row.allocationId)) return 'rejected';
    const before = records.get(row.allocationId);
    if (before === undefined) {
      records.set(row.allocationId, row);
      return 'recorded';
    }
    repeats += 1;
    return JSON.stringify(before) === JSON.stringify(row) ? 'duplicate' : 'rejected';
  }

  const setBalance = (userId: string, balance: BalanceSetting) => void balances.set(userId, balance);
  const setDefaultBalance = (balance: BalanceSetting) => {
    defaultBalance = balance;
  };
  const server = await startStandIn(options, {
    answer,
    summary: () => ({
      allocations: records.size,
      seconds: [...records.values()].reduce((sum, { duration }) => sum + duration, 0),
      repeats,
      reshuffled,
    }),
    controls: {
      balance: (body) => {
        const { userId, ...balance } = balanceSetting.extend({ userId: z.string() }).parse(body);
        setBalance(userId, balance);
      },
      'default-balance': (body) => setDefaultBalance(balanceSetting.parse(body)),
    },
  });
  const control: BillingServiceControl = {
    ...server.control,
    setBalance,
    setDefaultBalance,
    setBatchRoute: (missing) => {
      batchMissing = missing;
    },
    refuseItem: (allocationId) => void refused.add(allocationId),
    acceptItem: (allocationId) => void refused.delete(allocationId),
    recordOf: (allocationId) => records.get(allocationId),
    records: () => [...records.values()],
    repeats: () => repeats,
    reshuffled: () => reshuffled,
  };
  return { ...server, control };
}
