import { signToken } from '../../cli/token.ts';
import type { Config } from '../../shared/config.ts';
import { createClientWay } from './client-way.ts';
import type { DemoPlace } from './demo-place.ts';
import { createHttpWay } from './http-way.ts';
import type { PlannedRequest, WayName } from './planned-request.ts';
import type { Tally } from './tally.ts';
import type { WayIn } from './way-in.ts';

export interface WaysOptions {
  readonly api: string;
  readonly place: DemoPlace;
  readonly config: Config;
  readonly tally: Tally;
  /** A recording is replayed by one service on behalf of its users; the made-up users ask for themselves. */
  readonly asService: boolean;
}

/** Opens every way in. */
export function openWays({ api, place, config, tally, asService }: WaysOptions): Readonly<Record<WayName, WayIn>> {
  const onRetry = () => {
    tally.retries += 1;
  };
  const secrets = { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET };
  const tokens = new Map<string, Promise<string>>();
  const tokenFor = (name: string, make: () => Promise<string>) => {
    const token = tokens.get(name) ?? make();
    tokens.set(name, token);
    return token;
  };
  const signIn = async ({ userId, tenantId, tier }: PlannedRequest): Promise<Record<string, string>> => {
    const expiresIn = '7200';
    if (asService) return { 'x-service-token': await tokenFor('', () => signToken({ service: 'demo', expiresIn }, secrets)) };
    const words = { user: userId, tier, expiresIn, ...(tenantId === null ? {} : { tenant: tenantId }) };
    return { authorization: `Bearer ${await tokenFor(userId, () => signToken(words, secrets))}` };
  };
  return {
    http: createHttpWay({ api, signIn, statesTier: asService, onRetry }),
    client: createClientWay({ redisUrl: config.REDIS_URL, clusterNodes: [], prefix: place.prefix, service: 'demo', onRetry }),
  };
}
