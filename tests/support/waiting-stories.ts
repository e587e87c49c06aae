import fc from 'fast-check';
import { TIERS, type Tier } from '../../shared/allocation/tier.ts';
import type { ModelWish } from './waiting-model.ts';

/** Three of one tenant, five of none. */
export const USERS = ['ann', 'ada', 'art', 'bob', 'cyd', 'dan', 'eve', 'fay'] as const;
export const TENANTS: Readonly<Record<string, string>> = { ann: 'acme', ada: 'acme', art: 'acme' };
/** Of each user two, of which one at a time may wait. */
export const REQUESTS = 16;
/** What is asked for by who does not wait: the first for any device, and so on. */
export const ASKS = [undefined, 'phone', 'phone', 'tablet', undefined] as const;
/** Few, and no two of a size: which one somebody gets is not left to chance. */
export const FLEET = [
  { type: 'phone', cpuCores: 2 },
  { type: 'phone', cpuCores: 4 },
  { type: 'phone', cpuCores: 6, tenantId: 'acme' },
  { type: 'tablet', cpuCores: 8 },
] as const;

/** One thing that happens. Requests and devices are numbers of few, so that repeats are common. */
export type WaitingStep =
  | { readonly kind: 'join'; readonly request: number }
  | { readonly kind: 'cancel'; readonly request: number; readonly by: number }
  | { readonly kind: 'ask'; readonly ask: number }
  | { readonly kind: 'free'; readonly device: number }
  | { readonly kind: 'change'; readonly device: number; readonly to: 'down' | 'up' | 'drain' | 'activate' }
  | { readonly kind: 'quota'; readonly user: number; readonly devices: number }
  | { readonly kind: 'time'; readonly minutes: number }
  | { readonly kind: 'look' };

/** Where the process is killed: in front of which statement of the command, or of the wake-up after it, or between the two. */
export type Death = { readonly in: 'command' | 'wake-up'; readonly statement: number } | { readonly in: 'between' };

export interface Taken {
  readonly step: WaitingStep;
  readonly dies: Death | undefined;
  /** The command comes a second time: after the first, or at the same moment. */
  readonly again: 'no' | 'later' | 'at once';
}

export interface WaitingStory {
  readonly tiers: readonly Tier[];
  readonly wishes: readonly Pick<ModelWish, 'deviceType' | 'minCpu' | 'maxWaitMinutes'>[];
  readonly steps: readonly Taken[];
}

const request = fc.nat(REQUESTS - 1);
const device = fc.nat(FLEET.length - 1);
const statement = fc.integer({ min: 1, max: 7 });
const step: fc.Arbitrary<WaitingStep> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('join' as const), request }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), request, by: fc.constantFrom(0, 0, 0, 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('ask' as const), ask: fc.nat(ASKS.length - 1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('free' as const), device }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      device,
      to: fc.constantFrom('down', 'up', 'up', 'drain', 'activate', 'activate'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('quota' as const), user: fc.nat(USERS.length - 1), devices: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('time' as const), minutes: fc.constantFrom(1, 5, 7, 16) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('look' as const) }) },
);
const death: fc.Arbitrary<Death> = fc.oneof(
  fc.record({ in: fc.constantFrom('command' as const, 'wake-up' as const), statement }),
  fc.record({ in: fc.constant('between' as const) }),
);
const wish = fc.record({
  deviceType: fc.constantFrom(undefined, 'phone' as const, 'tablet' as const),
  minCpu: fc.constantFrom(0, 0, 3, 5),
  maxWaitMinutes: fc.constantFrom(10, 30, 60, 120),
});
/** Any story. */
export const waitingStories: fc.Arbitrary<WaitingStory> = fc.record({
  tiers: fc.array(fc.constantFrom(...TIERS), { minLength: REQUESTS, maxLength: REQUESTS }),
  wishes: fc.array(wish, { minLength: REQUESTS, maxLength: REQUESTS }),
  steps: fc.array(
    fc.record({ step, dies: fc.option(death, { nil: undefined, freq: 3 }), again: fc.constantFrom('no', 'no', 'later', 'at once') }),
    { minLength: 10, maxLength: 40, size: 'max' },
  ),
});
