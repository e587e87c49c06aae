/** The three servers. */
export type ServiceName = 'postgres' | 'redis' | 'rabbitmq';

/** One private server of this project: how it is found, started, asked and stopped. */
export interface Instance {
  readonly name: ServiceName;
  /** The variable its address is handed on by. */
  readonly variable: 'DATABASE_URL' | 'REDIS_URL' | 'RABBITMQ_URL';
  /** The variables that say in the environment that somebody else runs it. */
  readonly saidBy: readonly string[];
  readonly wantedPort: number;
  /** What to install when the programs are missing. */
  readonly packages: { readonly apt: string; readonly brew: string };
  hasPrograms(): boolean;
  url(port: number): string;
  /** Starts it and returns once it takes connections. */
  start(port: number): Promise<void>;
  /** Stops it in order; nothing happens when it does not run. */
  stop(): Promise<void>;
  pid(): number | undefined;
  /** Whether what listens there speaks its language. */
  answers(port: number): Promise<boolean>;
}
