import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ScaledObject, TriggerAuthentication } from '@kubernetes-models/keda/keda.sh/v1alpha1';
import { Deployment } from 'kubernetes-models/apps/v1';
import { Job } from 'kubernetes-models/batch/v1';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Namespace, Service } from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';
import { QUEUES } from '../queues/names.ts';
import { describeVariables, loadConfig } from '../shared/config.ts';
import { processFiles } from './support/process-files.ts';

const ROOT = 'deploy/kubernetes';
/** The schemas of Kubernetes and KEDA themselves, made from their OpenAPI documents. */
const KINDS = { Deployment, Job, NetworkPolicy, PodDisruptionBudget, ConfigMap, Namespace, Service, ScaledObject, TriggerAuthentication };
const SECRETS = {
  DATABASE_URL: 'postgresql://scheduler@postgres/cloudphone_device',
  REDIS_HOST: 'redis',
  REDIS_PORT: '6379',
  REDIS_PASSWORD: 'x'.repeat(24),
  RABBITMQ_URL: 'amqp://scheduler@rabbitmq',
  JWT_SECRET: 'x'.repeat(32),
  SERVICE_TOKEN_SECRET: 'y'.repeat(32),
  DASHBOARD_PASSWORD: 'z'.repeat(12),
};

interface Manifest {
  readonly file: string;
  readonly kind: string;
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever a manifest says; its schema is held by the first test
  readonly body: any;
}

const folders = readdirSync(ROOT).filter((name) => !name.includes('.'));
const manifests: readonly Manifest[] = folders.flatMap((folder) =>
  readdirSync(`${ROOT}/${folder}`).flatMap((file) =>
    parseAllDocuments(readFileSync(`${ROOT}/${folder}/${file}`, 'utf8'), { uniqueKeys: true }).map((document) => {
      const body = document.toJS();
      return { file: `${folder}/${file}`, kind: body.kind, name: body.metadata?.name ?? folder, body };
    }),
  ),
);
const ofKind = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
const deployments = ofKind('Deployment');
const podsOf = (manifest: Manifest) => manifest.body.spec.template;

describe('the manifests', () => {
  test.each(manifests.filter(({ kind }) => kind !== 'Kustomization'))('$file: $kind $name is what Kubernetes takes', ({ kind, body }) => {
    const Kind = Object.entries(KINDS).find(([name]) => name === kind)?.[1];
    expect(Kind).toBeDefined();
    expect(() => Kind && new Kind(body).validate()).not.toThrow();
  });

  test('are refused by those schemas when a field is wrong', () => {
    const wrong = structuredClone(deployments[0]?.body);
    wrong.spec.template.spec.containers[0].ports = [{ containerPort: 'http' }];
    expect(() => new Deployment(wrong).validate()).toThrow('containerPort');
  });

  test('are all listed by the kustomization of their folder', () => {
    for (const folder of folders) {
      const listed = manifests.find(({ file }) => file === `${folder}/kustomization.yaml`)?.body.resources;
      const there = readdirSync(`${ROOT}/${folder}`).filter((file) => file !== 'kustomization.yaml');
      expect(listed.toSorted()).toEqual(there.toSorted());
    }
  });

  test('run every process, and the migration', () => {
    const commands = [...deployments, ...ofKind('Job')].map((manifest) => podsOf(manifest).spec.containers[0].command.at(-1));
    expect(commands.toSorted()).toEqual([...processFiles(), 'scripts/migrate.ts'].toSorted());
  });

  test('give every process a configuration that is accepted, out of known variables and the secrets the guide names', () => {
    const known = new Set(describeVariables().map(({ name }) => name));
    const said = { ...ofKind('ConfigMap')[0]?.body.data, ...SECRETS };
    expect(Object.keys(said).filter((name) => !known.has(name))).toEqual([]);
    expect(loadConfig(said)).toMatchObject({ ok: true, warnings: [], config: { NODE_ENV: 'production' } });
    const guide = readFileSync('docs/guides/deploy.md', 'utf8');
    for (const name of Object.keys(SECRETS)) expect(guide).toContain(`--from-literal=${name}=`);
  });

  test('contain no secret', () => {
    expect(ofKind('Secret')).toEqual([]);
    for (const { body } of ofKind('ConfigMap'))
      expect(Object.keys(body.data).filter((name) => /SECRET|PASSWORD|_URL$/.test(name))).toEqual([
        'USER_SERVICE_URL',
        'BILLING_SERVICE_URL',
        'NOTIFICATION_SERVICE_URL',
      ]);
  });

  test('let no pod be root, write its own files, gain rights or speak with Kubernetes', () => {
    for (const manifest of [...deployments, ...ofKind('Job')]) {
      const { spec } = podsOf(manifest);
      expect(spec).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } });
      expect(spec.containers[0].securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
  });

  test('give whoever goes longer than it may take to finish, and let who is served to others listen a while before', () => {
    const shutdown = Number(describeVariables().find(({ name }) => name === 'SHUTDOWN_TIMEOUT')?.fallback);
    const served = ofKind('Service').map(({ body }) => body.spec.selector['app.kubernetes.io/component']);
    expect(served.toSorted()).toEqual(['api', 'dashboards']);
    for (const manifest of deployments) {
      const { terminationGracePeriodSeconds, containers } = podsOf(manifest).spec;
      const [program, seconds] = containers[0].lifecycle?.preStop.exec.command ?? ['sleep', '0'];
      expect(program).toBe('sleep');
      expect(Number(seconds) > 0).toBe(served.includes(manifest.name));
      expect(terminationGracePeriodSeconds).toBeGreaterThanOrEqual(Number(seconds) + shutdown + 5);
    }
  });

  test('ask each process of its health on a port it serves, and say what it needs', () => {
    const quantity = /^\d+(m|Mi)$/;
    for (const manifest of [...deployments, ...ofKind('Job')]) {
      const { ports, resources, ...container } = podsOf(manifest).spec.containers[0];
      expect(resources).toEqual({
        requests: { cpu: expect.stringMatching(quantity), memory: expect.stringMatching(quantity) },
        limits: { memory: expect.stringMatching(quantity) },
      });
      expect(Number.parseInt(resources.limits.memory, 10)).toBeGreaterThan(Number.parseInt(resources.requests.memory, 10));
      if (manifest.kind === 'Job') continue;
      const names = ports.map(({ name }: { name: string }) => name);
      for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
        const { path, port } = container[probe].httpGet;
        expect(names).toContain(port);
        expect(path).toBe(manifest.name === 'api' && probe === 'readinessProbe' ? '/ready' : '/health');
      }
    }
  });

  test('serve at the ports the processes listen on', () => {
    const fallback = (variable: string) => Number(describeVariables().find(({ name }) => name === variable)?.fallback);
    const metrics = { name: 'metrics', containerPort: Number(ofKind('ConfigMap')[0]?.body.data.METRICS_PORT) };
    const http: Readonly<Record<string, number>> = { api: fallback('PORT'), dashboards: fallback('DASHBOARD_PORT') };
    for (const manifest of deployments) {
      const served = http[manifest.name];
      const own = served === undefined ? [] : [{ name: 'http', containerPort: served }];
      expect(podsOf(manifest).spec.containers[0].ports).toEqual([...own, metrics]);
    }
  });

  test('find the pods they speak of', () => {
    const pods = [...deployments, ...ofKind('Job')].map((manifest) => podsOf(manifest).metadata.labels);
    const selectors = [
      ...deployments.map(({ body }) => body.spec.selector.matchLabels),
      ...ofKind('Service').map(({ body }) => body.spec.selector),
      ...ofKind('PodDisruptionBudget').map(({ body }) => body.spec.selector.matchLabels),
      ...ofKind('NetworkPolicy').map(({ body }) => body.spec.podSelector.matchLabels),
    ];
    for (const selector of selectors) {
      expect(pods.filter((labels) => Object.entries(selector).every(([key, value]) => labels[key] === value))).not.toEqual([]);
    }
  });

  test('let one of two go at a time', () => {
    const budgets = ofKind('PodDisruptionBudget').map(({ name }) => name);
    const single = deployments.filter(({ body }) => body.spec.replicas === 1).map(({ name }) => name);
    expect([...budgets, ...single].toSorted()).toEqual(deployments.map(({ name }) => name).toSorted());
  });

  test('let nothing in or out that is not named', () => {
    const ours = { 'app.kubernetes.io/name': 'cloudphone-scheduler' };
    const from = (label: string, port: number) => [
      { from: [{ namespaceSelector: { matchLabels: { [label]: 'true' } } }], ports: [{ protocol: 'TCP', port }] },
    ];
    const [into, out] = [{ policyTypes: ['Ingress'] }, { policyTypes: ['Egress'] }];
    const one = (component: string) => ({ podSelector: { matchLabels: { ...ours, 'app.kubernetes.io/component': component } } });
    const all = { podSelector: { matchLabels: ours } };
    expect(Object.fromEntries(ofKind('NetworkPolicy').map(({ name, body }) => [name, body.spec]))).toEqual({
      'deny-the-rest': { ...all, policyTypes: ['Ingress', 'Egress'] },
      'ask-servers': { ...all, ...out, egress: expect.any(Array) },
      'reach-api': { ...one('api'), ...into, ingress: from('scheduler-client', 30_002) },
      'reach-dashboard': { ...one('dashboards'), ...into, ingress: from('scheduler-operator', 30_003) },
      'read-metrics': { ...all, ...into, ingress: from('scheduler-monitoring', 30_004) },
    });
  });

  test('let every server out of the configuration be asked, and names', () => {
    const { egress } = ofKind('NetworkPolicy').find(({ name }) => name === 'ask-servers')?.body.spec ?? {};
    expect(egress.flatMap(({ to = [] }: { to?: unknown[] }) => to)).toEqual([]);
    const open = egress.flatMap(({ ports }: Manifest['body']) =>
      ports.map(({ protocol, port }: Manifest['body']) => `${protocol} ${port}`),
    );
    const said: Readonly<Record<string, string>> = { ...ofKind('ConfigMap')[0]?.body.data, ...SECRETS };
    const usual: Readonly<Record<string, string>> = { 'postgresql:': '5432', 'amqp:': '5672' };
    const urls = Object.entries(said).filter(([name]) => name.endsWith('_URL'));
    const asked = urls.map(([, url]) => new URL(url)).map(({ port, protocol }) => `TCP ${port || usual[protocol]}`);
    expect(asked).toHaveLength(5);
    expect([...asked, `TCP ${said['REDIS_PORT']}`, 'UDP 53', 'TCP 53'].filter((port) => !open.includes(port))).toEqual([]);
  });

  test('grow with queues that exist, and only what has no number of its own', () => {
    const growing = ofKind('ScaledObject').map(({ body }) => body.spec.scaleTargetRef.name);
    expect(deployments.filter(({ body }) => body.spec.replicas === undefined).map(({ name }) => name)).toEqual(growing);
    const lists = ofKind('ScaledObject').flatMap(({ body }) =>
      body.spec.triggers.map(({ metadata }: Manifest['body']) => metadata.listName),
    );
    const queues = Object.values(QUEUES).flatMap((queue) => [`{scheduler}:${queue}:prioritized`, `{scheduler}:${queue}:wait`]);
    expect(lists.filter((list) => !queues.includes(list))).toEqual([]);
  });
});
