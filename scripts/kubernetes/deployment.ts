import type { ProcessSpec } from './processes.ts';

const METRICS_PORT = 30_004;
const APP = 'cloudphone-scheduler';
/** Longer than the default of `SHUTDOWN_TIMEOUT`. */
const ENDS_WITHIN_SECONDS = 30;
/** So long the balancers of a Service may send somebody to a pod that is about to go. */
const FORGOTTEN_AFTER_SECONDS = 5;

/** Labels that select the pods of one process. */
export function labelsOf(name: string): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': APP, 'app.kubernetes.io/component': name };
}

/** What may run as: nobody special, without a writable root, without any capability ("restricted" of the Pod Security Standards). */
const POD_SECURITY = { runAsNonRoot: true, runAsUser: 1_000, runAsGroup: 1_000, seccompProfile: { type: 'RuntimeDefault' } };
const CONTAINER_SECURITY = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } };

/** The container of a process: environment, rights and resources. */
export function containerOf(name: string, command: readonly string[], { cpu, memory }: Pick<ProcessSpec, 'cpu' | 'memory'>): object {
  return {
    name,
    image: APP,
    command,
    envFrom: [{ configMapRef: { name: 'scheduler-configuration' } }, { secretRef: { name: 'scheduler-secrets' } }],
    // No limit of the processor: a throttled worker loses the locks of its jobs.
    resources: { requests: { cpu, memory: memory.request }, limits: { memory: memory.limit } },
    securityContext: CONTAINER_SECURITY,
  };
}

/** The pod around a container. */
export function podOf(name: string, container: object, more: object): object {
  return {
    metadata: { labels: labelsOf(name) },
    spec: {
      // No process speaks with Kubernetes.
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: POD_SECURITY,
      ...more,
      containers: [container],
    },
  };
}

/**
 * The Deployment of a process. A new pod is there before an old one goes, and whoever goes has longer than
 * `SHUTDOWN_TIMEOUT` to finish. Who is served to others goes on listening until nobody is sent to it any more.
 */
export function deploymentOf(spec: ProcessSpec): object {
  const served = spec.port !== undefined;
  const lifecycle = { preStop: { exec: { command: ['sleep', String(FORGOTTEN_AFTER_SECONDS)] } } };
  const ending = served ? { lifecycle } : {};
  const container = { ...containerOf(spec.name, spec.command, spec), ports: portsOf(spec), ...probesOf(spec), ...ending };
  const terminationGracePeriodSeconds = ENDS_WITHIN_SECONDS + (served ? FORGOTTEN_AFTER_SECONDS : 0);
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: spec.name, labels: labelsOf(spec.name) },
    spec: {
      // KEDA says how many there are of those that grow.
      ...(spec.growsWith === undefined && { replicas: spec.replicas }),
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      selector: { matchLabels: labelsOf(spec.name) },
      template: podOf(spec.name, container, { terminationGracePeriodSeconds, topologySpreadConstraints: [spreadOf(spec.name)] }),
    },
  };
}

function portsOf({ port }: ProcessSpec): object[] {
  const metrics = { name: 'metrics', containerPort: METRICS_PORT };
  return port === undefined ? [metrics] : [{ name: 'http', containerPort: port }, metrics];
}

/**
 * Alive is whose event loop answers. A worker without Redis is unhealthy and comes back by itself with Redis; it is
 * only killed when that takes five minutes.
 */
function probesOf({ name, port }: ProcessSpec): object {
  const own = { httpGet: { path: '/health', port: port === undefined ? 'metrics' : 'http' }, timeoutSeconds: 3 };
  const ready = name === 'api' ? { httpGet: { path: '/ready', port: 'http' }, timeoutSeconds: 3 } : own;
  return {
    startupProbe: { ...own, periodSeconds: 2, failureThreshold: 30 },
    readinessProbe: { ...ready, periodSeconds: 5, failureThreshold: 2 },
    livenessProbe: { ...own, periodSeconds: 10, failureThreshold: port === undefined ? 30 : 3 },
  };
}

function spreadOf(name: string): object {
  return {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector: { matchLabels: labelsOf(name) },
  };
}
