import { z } from 'zod';

/** Every rule devices can be ranked by. */
export const STRATEGY_TYPES = [
  'round_robin',
  'least_connection',
  'weighted_round_robin',
  'resource_based',
  'load_balancing',
  'resource_efficiency',
  'locality_aware',
  'cost_optimization',
] as const;

export type StrategyType = (typeof STRATEGY_TYPES)[number];

const noConfig = z.strictObject({});
const share = z.number().min(0).max(100);

/** What may be set of each type; what is left out has its default. */
export const STRATEGY_CONFIGS = {
  round_robin: noConfig,
  least_connection: z.strictObject({
    window: z.int().min(1).max(1_000_000).default(1_000).describe('An allocation counts as recent for so many allocations of the fleet'),
  }),
  weighted_round_robin: z
    .strictObject({
      cpu: share.default(50).describe('Share of free CPU in the weight of a device'),
      memory: share.default(50).describe('Share of free memory'),
    })
    .refine(({ cpu, memory }) => cpu + memory > 0, { path: ['cpu'], message: 'cpu and memory must not both be 0' }),
  resource_based: noConfig,
  load_balancing: noConfig,
  resource_efficiency: noConfig,
  locality_aware: z.strictObject({
    lastDevice: z.boolean().default(true).describe('Prefer the device the user had last'),
    lastRegion: z.boolean().default(true).describe('Prefer the region of that device when the request names none'),
  }),
  cost_optimization: noConfig,
} as const satisfies Record<StrategyType, z.ZodType>;

/** A rule with its settings, checked and complete. */
export type Strategy = {
  readonly [T in StrategyType]: { readonly type: T; readonly config: z.output<(typeof STRATEGY_CONFIGS)[T]> };
}[StrategyType];

/** The answer to "is this a strategy?": it is, or the first thing wrong with it by its path. */
export type CheckedStrategy =
  | { readonly ok: true; readonly strategy: Strategy }
  | { readonly ok: false; readonly problems: readonly { readonly field: string; readonly problem: string }[] };

/** Checks the settings of a type and fills in the defaults. */
export function checkStrategy(type: StrategyType, config: unknown): CheckedStrategy {
  const checked = STRATEGY_CONFIGS[type].safeParse(config ?? {});
  // Type and settings come from the same row of the table, which the compiler cannot see.
  if (checked.success) return { ok: true, strategy: { type, config: checked.data } as Strategy };
  return {
    ok: false,
    problems: checked.error.issues.flatMap((issue) => {
      const within = issue.path.join('.');
      const fields = issue.code === 'unrecognized_keys' ? issue.keys : [within];
      return fields.map((field) => ({ field: field === '' ? 'config' : `config.${field}`, problem: issue.message }));
    }),
  };
}

/** A rule with the defaults of its settings. */
export function defaultStrategy(type: StrategyType): Strategy {
  const checked = checkStrategy(type, {});
  if (!checked.ok) throw new Error(`${type} has no defaults`);
  return checked.strategy;
}

/** What is in force where nothing else was said. */
export const RESOURCE_BASED: Strategy = { type: 'resource_based', config: {} };

/** Narrows a text (from a row or a job) to a known type. */
export function isStrategyType(text: string): text is StrategyType {
  return (STRATEGY_TYPES as readonly string[]).includes(text);
}
