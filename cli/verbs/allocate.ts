import { type Command, Option } from 'commander';
import { z } from 'zod';
import { DEVICE_TYPES, MAX_DURATION_MINUTES, PROVIDER_TYPES } from '../../shared/allocation/asked.ts';
import { TIER_WORDS } from '../../shared/allocation/tier.ts';
import { readAnswer } from '../read-answer.ts';
import type { Host, Session } from '../session.ts';
import { fields } from '../table.ts';
import { onOneLine } from '../text-width.ts';
import { minutes } from '../time-input.ts';
import { durationWords } from '../time-words.ts';
import { acting, id, repeatable, wholeNumber } from '../verb.ts';

interface Words {
  readonly for?: number;
  readonly tenant?: string;
  readonly tier?: string;
  readonly type?: string;
  readonly device?: string;
  readonly region?: string;
  readonly provider?: string;
  readonly minCpu?: number;
  readonly minMemory?: number;
  readonly minStorage?: number;
  readonly queue?: boolean;
  readonly maxWait?: number;
  readonly autoExtend?: boolean;
  readonly wait: number;
  readonly idempotencyKey?: string;
}

const LONGEST_WAIT_S = 30;

const granted = z.object({
  allocationId: z.string(),
  deviceId: z.string(),
  device: z.object({ name: z.string() }),
  userId: z.string(),
  expiresAt: z.string(),
  durationMinutes: z.int(),
  fence: z.int(),
  adbHost: z.string().optional(),
  adbPort: z.int().optional(),
});
const accepted = z.object({
  requestId: z.string(),
  status: z.string(),
  reason: z.string(),
  position: z.int().optional(),
  estimatedStart: z.object({ p50: z.string(), p90: z.string() }).optional(),
});

/** `allocate <user>`: a device for a user. */
export function allocateVerb(program: Command, host: Host): void {
  const command = program
    .command('allocate')
    .summary('give a user a device')
    .description('Allocates a device to a user, and prints what they got. A refusal ends with 1 and says why.')
    .argument('<user>', 'id of the user')
    .option('--for <time>', `how long: minutes, or 2h, 1h30m; at most ${durationWords(MAX_DURATION_MINUTES * 60)} (default: 60)`, minutes)
    .option('--tenant <id>', 'tenant of the user')
    .addOption(new Option('--tier <tier>', 'tier of the user; for service tokens').choices(TIER_WORDS))
    .addOption(new Option('--type <type>', 'kind of device').choices(DEVICE_TYPES))
    .option('--device <id>', 'this device and no other', id)
    .option('--region <region>', 'preferred region')
    .addOption(new Option('--provider <provider>', 'preferred provider').choices(PROVIDER_TYPES))
    .option('--min-cpu <cores>', 'at least so many cores', wholeNumber(0))
    .option('--min-memory <MB>', 'at least so much memory', wholeNumber(0))
    .option('--min-storage <MB>', 'at least so much storage', wholeNumber(0))
    .option('--queue', 'wait in the queue if every matching device is busy')
    .option('--max-wait <time>', 'longest wait in the queue, at most 2h (default: 30)', minutes)
    .option('--auto-extend', 'extend it by itself while nobody waits')
    .addOption(
      new Option('--wait <seconds>', 'how long to wait for the decision; 0 leaves at once')
        .argParser(wholeNumber(0, LONGEST_WAIT_S))
        .default(5),
    );
  acting<Words>(repeatable(command), host, allocate);
}

async function allocate(session: Session, words: Words, userId = ''): Promise<void> {
  const answer = await session.ask({
    method: 'POST',
    path: '/scheduler/devices/allocate',
    idempotencyKey: words.idempotencyKey,
    body: {
      userId,
      tenantId: words.tenant,
      userTier: words.tier,
      durationMinutes: words.for,
      preferredSpecs: { minCpu: words.minCpu, minMemory: words.minMemory, minStorage: words.minStorage },
      devicePreferences: { deviceType: words.type, deviceId: words.device, region: words.region, providerType: words.provider },
      queueIfBusy: words.queue,
      maxWaitMinutes: words.maxWait,
      autoExtend: words.autoExtend,
      waitMs: words.wait * 1_000,
    },
  });
  session.answer(answer.data, () =>
    answer.status === 201 ? grantText(session, answer.data, answer.at) : waitText(session, answer.data, answer.at),
  );
}

function grantText({ screen }: Session, data: unknown, now: Date): string {
  const grant = readAnswer(granted, data);
  const head = `${screen.paint.green('✓')} ${onOneLine(grant.userId)} has ${screen.paint.bold(onOneLine(grant.device.name))}`;
  const rows = fields(screen, [
    ['allocation', grant.allocationId],
    ['device', grant.deviceId],
    ['until', `${screen.moment(grant.expiresAt, now)} (${durationWords(grant.durationMinutes * 60)})`],
    ['fence', String(grant.fence)],
    ['adb', grant.adbHost === undefined ? undefined : `${grant.adbHost}:${grant.adbPort ?? ''}`],
  ]);
  return `${head}\n${rows}`;
}

function waitText({ screen }: Session, data: unknown, now: Date): string {
  const waiting = readAnswer(accepted, data);
  const rows = fields(screen, [
    ['request', waiting.requestId],
    ['reason', waiting.reason],
    ['position', waiting.position?.toString()],
    ['expected', waiting.estimatedStart && screen.moment(waiting.estimatedStart.p50, now)],
    ['latest', waiting.estimatedStart && `${screen.moment(waiting.estimatedStart.p90, now)} (nine in ten)`],
  ]);
  const next = `${screen.paint.cyan('→')} cloudphone-scheduler queue show ${waiting.requestId}`;
  return `${screen.paint.yellow('…')} ${waiting.status === 'waiting' ? 'waiting in the queue' : 'accepted, not decided yet'}\n${rows}\n${next}`;
}
