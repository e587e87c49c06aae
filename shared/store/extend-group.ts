import { allocationExtended } from '../events.ts';
import { notice } from '../notices/notice.ts';
import type { ExtendFacts, RenewalRules } from '../renewal/decide-extend.ts';
import { type ExtendGroupFacts, type ExtendResult, type Extension, type ProposedExtension, planExtends } from '../renewal/plan-extends.ts';
import { lockForExtension, lockUsersOf, readExtendFacts } from './extend-facts.ts';
import type { Store, Transaction } from './store.ts';
import { wantedDevices } from './wanted-devices.ts';

/**
 * Extends a group in one transaction: lock, read, decide, write. The cost in round trips does not depend on its size.
 *
 * An allocation that somebody is ending at the same time is extended or ended, never both: its row is locked here, and
 * the write names `allocated` and an end that is still ahead by the clock of the database. Safe to run twice: a proposal
 * that was carried out before is answered what it was answered then.
 *
 * @param skip  leave alone what somebody else is working on (`ALLOCATION_NOT_FOUND`), instead of waiting for it
 * @returns results in the order of the proposals
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function extendGroup(
  store: Store,
  proposals: readonly ProposedExtension[],
  rules: RenewalRules,
  { skip = false }: { readonly skip?: boolean } = {},
): Promise<ExtendResult[]> {
  if (proposals.length === 0) return [];
  const asked = proposals.map(({ allocationId }) => allocationId);
  return store.transaction(async (tx) => {
    if (rules.reserveFullTerm === true) await lockUsersOf(tx, asked);
    const locked = new Set(await lockForExtension(tx, asked, skip));
    const named = proposals.map((proposal) => ({
      allocationId: proposal.allocationId,
      extensionId: proposal.kind === 'asked' ? proposal.extensionId : null,
    }));
    const open = skip ? named.filter(({ allocationId }) => locked.has(allocationId)) : named;
    const read = await readExtendFacts(tx, open, rules.reserveFullTerm);
    const automatic = proposals.flatMap(({ kind, allocationId }) =>
      kind === 'automatic' ? (read.allocations.get(allocationId) ?? []) : [],
    );
    const wanted = await readWanted(tx, automatic);
    const results = planExtends(proposals, { ...read, wanted }, rules);
    const extensions = results.flatMap((result) => (result.status === 'extended' && !result.repeated ? [result.extension] : []));
    if (extensions.length > 0) await write(tx, extensions, read);
    return results;
  });
}

async function readWanted(tx: Transaction, allocations: readonly ExtendFacts[]): Promise<ReadonlySet<string>> {
  const devices = await wantedDevices(
    tx,
    allocations.map(({ deviceId }) => deviceId),
  );
  return new Set(allocations.flatMap(({ allocationId, deviceId }) => (devices.has(deviceId) ? [allocationId] : [])));
}

/** Writes ends, extensions, events and notices as one statement. */
async function write(
  tx: Transaction,
  extensions: readonly Extension[],
  { allocations: facts, now }: Pick<ExtendGroupFacts, 'allocations' | 'now'>,
): Promise<void> {
  const last = new Map(extensions.map((extension) => [extension.allocationId, extension]));
  const [written] = await tx.$queryRaw<{ allocations: number; extensions: number }[]>`
    WITH planned AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify([...last.values()].map((extension) => toEnd(extension, facts)))}::jsonb)
        AS x(id uuid, was_count int, extend_count int, total_minutes int, new_expires_at timestamptz)
    ), extended AS (
      UPDATE allocations a SET expires_at = p.new_expires_at, duration_minutes = p.total_minutes, extend_count = p.extend_count, last_extended_at = ${now}::timestamptz
      FROM planned p
      WHERE a.id = p.id AND a.status = 'allocated' AND a.expires_at > now() AND a.extend_count = p.was_count
      RETURNING a.id
    ), noted AS (
      INSERT INTO extensions (id, allocation_id, extend_count, minutes, total_minutes, old_expires_at, new_expires_at, automatic, balance_unchecked, reason, extended_by, extended_at)
      SELECT x.id, x.allocation_id, x.extend_count, x.minutes, x.total_minutes, x.old_expires_at, x.new_expires_at, x.automatic, x.balance_unchecked, x.reason, x.extended_by, ${now}::timestamptz
      FROM jsonb_to_recordset(${JSON.stringify(extensions.map(toRow))}::jsonb) AS x(
        id uuid, allocation_id uuid, extend_count int, minutes int, total_minutes int, old_expires_at timestamptz, new_expires_at timestamptz,
        automatic boolean, balance_unchecked boolean, reason text, extended_by text)
      JOIN extended ON extended.id = x.allocation_id
      RETURNING id
    ), announced AS (
      INSERT INTO outbox (event_id, channel, topic, key, payload)
      SELECT coalesce(x.event_id, gen_random_uuid()), x.channel, x.topic, x.key, x.payload
      FROM ROWS FROM (jsonb_to_recordset(${JSON.stringify(extensions.flatMap((extension) => toOutbox(extension, facts)))}::jsonb)
        AS (event_id uuid, channel text, topic text, key text, payload jsonb)) WITH ORDINALITY AS x(event_id, channel, topic, key, payload, position)
      ORDER BY x.position
      ON CONFLICT (event_id) WHERE channel = 'notice' DO NOTHING
    )
    SELECT (SELECT count(*)::int FROM extended) AS allocations, (SELECT count(*)::int FROM noted) AS extensions`;
  if (written?.allocations !== last.size || written.extensions !== extensions.length) {
    throw new Error(`${extensions.length} extensions of ${last.size} allocations wrote ${written?.extensions} and ${written?.allocations}`);
  }
}

function toEnd(last: Extension, facts: ReadonlyMap<string, ExtendFacts>) {
  return {
    id: last.allocationId,
    was_count: facts.get(last.allocationId)?.extendCount,
    extend_count: last.extendCount,
    total_minutes: last.totalDurationMinutes,
    new_expires_at: last.newExpiresAt,
  };
}

function toRow(extension: Extension) {
  return {
    id: extension.extensionId,
    allocation_id: extension.allocationId,
    extend_count: extension.extendCount,
    minutes: extension.additionalMinutes,
    total_minutes: extension.totalDurationMinutes,
    old_expires_at: extension.oldExpiresAt,
    new_expires_at: extension.newExpiresAt,
    automatic: extension.automatic,
    balance_unchecked: extension.balanceUnchecked,
    reason: extension.reason,
    extended_by: extension.by,
  };
}

function toOutbox(extension: Extension, facts: ReadonlyMap<string, ExtendFacts>) {
  const holder = facts.get(extension.allocationId);
  if (holder === undefined) return [];
  const { topic, key, payload } = allocationExtended({ ...holder, ...extension });
  const { allocationId, additionalMinutes, automatic } = extension;
  const newExpiresAt = extension.newExpiresAt.toISOString();
  const told = notice('allocation_extended', {
    userId: holder.userId,
    allocationId,
    deviceId: holder.deviceId,
    newExpiresAt,
    additionalMinutes,
    automatic,
  });
  return [{ channel: 'event', topic, key, payload }, told];
}
