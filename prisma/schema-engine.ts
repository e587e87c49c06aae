import { readFile } from 'node:fs/promises';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

/** Prisma's own schema engine, connected to one database. */
export interface ConnectedEngine {
  readonly engine: bindings.SchemaEngine;
  close(): Promise<void>;
}

/** Known to Node, but not to its types. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

const CHAR_OID = 18;
const TEXT_OID = 25;

/** A panic inside the engine is told here by Prisma's own programs; ours writes it out instead of a bare "unreachable". */
const panics = { set_message: (message: string) => void process.stderr.write(`${message}\n`) };

let loaded: Promise<void> | undefined;

/** The engine as WebAssembly, from its npm package: nothing is downloaded, unlike the native one of Prisma's command line. */
async function load(): Promise<void> {
  const file = new URL('schema_engine_bg.wasm', import.meta.resolve('@prisma/schema-engine-wasm/schema_engine_bg'));
  const { instance } = await WebAssembly.instantiate(await readFile(file), { './schema_engine_bg.js': bindings });
  Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: panics });
  Reflect.get(bindings, '__wbg_set_wasm')(instance.exports);
  const { __wbindgen_start: begin } = instance.exports;
  if (typeof begin === 'function') begin();
}

/**
 * @param databaseUrl  an existing database
 * @param schema       text of schema.prisma, where the verb needs one
 */
export async function connectSchemaEngine(databaseUrl: string, schema?: string): Promise<ConnectedEngine> {
  loaded ??= load();
  await loaded;
  // One session only: the advisory lock of the engine belongs to the session that took it.
  const pool = readableCatalogue(new pg.Pool({ connectionString: databaseUrl, max: 1 }));
  const datamodels: [string, string][] | undefined = schema === undefined ? undefined : [['schema.prisma', schema]];
  const factory = bindMigrationAwareSqlAdapterFactory(mended(new PrismaPg(pool), pool));
  const engine = await bindings.SchemaEngine.new({ datamodels }, () => undefined, factory);
  return {
    engine,
    close: async () => {
      engine.free();
      await pool.end();
    },
  };
}

/** The catalogue's one-letter type is unknown to the adapter (7.10): it is handed on as text. */
function readableCatalogue(pool: pg.Pool): pg.Pool {
  const query = pool.query.bind(pool);
  const readable = async (config: pg.QueryConfig) => {
    const result = await query(config);
    for (const field of result.fields ?? []) if (field.dataTypeID === CHAR_OID) field.dataTypeID = TEXT_OID;
    return result;
  };
  return Object.assign(pool, { query: readable });
}

/**
 * Two more things the adapter (7.10) does in another way than the native engine: it cuts scripts at every semicolon, also
 * at those in comments and strings, and so runs them outside of a transaction; and constraint kinds must come as characters.
 */
function mended(factory: PrismaPg, pool: pg.Pool): SqlMigrationAwareDriverAdapterFactory {
  const connect = async () => {
    const adapter = await factory.connect();
    const queryRaw = adapter.queryRaw.bind(adapter);
    return Object.assign(adapter, {
      executeScript: async (script: string) => void (await pool.query(script)),
      queryRaw: async (query: Parameters<typeof queryRaw>[0]) => {
        const result = await queryRaw(query);
        const kind = result.columnNames.indexOf('constraint_type');
        if (kind >= 0) result.columnTypes[kind] = ColumnTypeEnum.Character;
        return result;
      },
    });
  };
  return { provider: factory.provider, adapterName: factory.adapterName, connect, connectToShadowDb: () => factory.connectToShadowDb() };
}
