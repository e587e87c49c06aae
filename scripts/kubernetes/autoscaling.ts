import { labelsOf } from './deployment.ts';
import { PROCESSES, type ProcessSpec } from './processes.ts';

/** Two are kept, so that one may be replaced; a fall of the backlog is believed after five minutes. */
const FEWEST = 2;
const PATIENCE_SECONDS = 300;

/** What KEDA needs to read the length of a queue, and one rule for each process that grows. */
export function autoscaling(): object[] {
  return [triggerAuthentication(), ...PROCESSES.flatMap(scaledObjectOf)];
}

function triggerAuthentication(): object {
  const secretTargetRef = [
    { parameter: 'host', name: 'scheduler-secrets', key: 'REDIS_HOST' },
    { parameter: 'port', name: 'scheduler-secrets', key: 'REDIS_PORT' },
    { parameter: 'password', name: 'scheduler-secrets', key: 'REDIS_PASSWORD' },
  ];
  return { apiVersion: 'keda.sh/v1alpha1', kind: 'TriggerAuthentication', metadata: { name: 'queues' }, spec: { secretTargetRef } };
}

/** Jobs with a priority wait in a sorted set, the others in a list; KEDA counts either. */
function scaledObjectOf({ name, growsWith }: ProcessSpec): object[] {
  if (growsWith === undefined) return [];
  const { queue, jobsEach, atMost } = growsWith;
  const trigger = (state: string) => ({
    type: 'redis',
    metadata: { listName: `{scheduler}:${queue}:${state}`, listLength: String(jobsEach) },
    authenticationRef: { name: 'queues' },
  });
  return [
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledObject',
      metadata: { name, labels: labelsOf(name) },
      spec: {
        scaleTargetRef: { name },
        minReplicaCount: FEWEST,
        maxReplicaCount: atMost,
        pollingInterval: 5,
        cooldownPeriod: PATIENCE_SECONDS,
        advanced: { horizontalPodAutoscalerConfig: { behavior: { scaleDown: { stabilizationWindowSeconds: PATIENCE_SECONDS } } } },
        triggers: [trigger('prioritized'), trigger('wait')],
      },
    },
  ];
}
