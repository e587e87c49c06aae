import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { freePort } from '../../dev/cluster/ports.ts';
import { eventually } from './eventually.ts';

/** A series as Prometheus answers it. */
export interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [at: number, value: string];
}

/** A Prometheus of a test's own. */
export interface Prometheus {
  /** What an expression is now. */
  ask(expr: string): Promise<readonly Found[]>;
  stop(): Promise<void>;
}

/** Starts it with the configuration we ship, but for where the processes are and how often it looks. */
export async function startPrometheus(targets: readonly string[]): Promise<Prometheus> {
  const [folder, port] = [mkdtempSync(join(tmpdir(), 'prometheus-')), await freePort()];
  const { scrape_configs: jobs, ...shipped } = parse(readFileSync('deploy/monitoring/prometheus.yml', 'utf8'));
  const scrapeConfigs = jobs.map(({ dns_sd_configs: _names, ...job }: Record<string, unknown>) => ({
    ...job,
    static_configs: [{ targets }],
  }));
  const config = {
    ...shipped,
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [resolve('dashboards/alerts/*.rules.yml')],
    scrape_configs: scrapeConfigs,
  };
  writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
  const args = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`];
  const child = spawn('prometheus', [...args, '--log.level=error'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const killAtExit = () => void child.kill('SIGKILL');
  process.once('exit', killAtExit);

  const get = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    const said = await answer.text();
    if (!answer.ok) throw new Error(`${path} is answered ${answer.status}: ${said}`);
    return said;
  };
  await eventually(() => get('/-/ready'), 30_000);
  return {
    ask: async (expr) => JSON.parse(await get(`/api/v1/query?query=${encodeURIComponent(expr)}`)).data.result,
    stop: async () => {
      process.off('exit', killAtExit);
      const gone = once(child, 'exit');
      if (child.exitCode === null && child.kill('SIGTERM')) await gone;
      rmSync(folder, { recursive: true });
    },
  };
}
