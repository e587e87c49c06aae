import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Settings that change at run time. Their rows are read by every process at least every two seconds. */
export type SettingName = 'allocation_strategy';

/** The stored value of a setting, or nothing if it was never set. */
export async function readSetting(store: Store, name: SettingName): Promise<unknown> {
  const rows = await translated(store.prisma.$queryRaw<{ value: unknown }[]>`SELECT value FROM settings WHERE name = ${name}`);
  return rows[0]?.value;
}

/** @param by  who changed it, kept with the row */
export async function writeSetting(store: Store, name: SettingName, value: string | number | boolean, by: string): Promise<void> {
  await translated(
    store.prisma.$executeRaw`
      INSERT INTO settings (name, value, updated_by) VALUES (${name}, ${JSON.stringify(value)}::jsonb, ${by})
      ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, updated_at = now(), updated_by = EXCLUDED.updated_by`,
  );
}
