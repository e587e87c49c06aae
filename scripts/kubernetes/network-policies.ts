import { labelsOf } from './deployment.ts';

const OURS = { matchLabels: { 'app.kubernetes.io/name': 'cloudphone-scheduler' } };
const tcp = (port: number) => ({ protocol: 'TCP', port });
const udp = (port: number) => ({ protocol: 'UDP', port });
const inNamespace = (label: string) => ({ namespaceSelector: { matchLabels: { [label]: 'true' } } });

/** Who may be asked: names, Postgres (or its pooler), Redis and Sentinel, RabbitMQ, the neighbours, a collector of traces. */
const ASKED = [5432, 6432, 6379, 26379, 5672, 5671, 30001, 30005, 30006, 80, 443, 4318];

function policy(name: string, podSelector: object, rules: object): object {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name }, spec: { podSelector, ...rules } };
}

/**
 * Nothing comes in and nothing goes out but this. Namespaces are let in by a label, which nobody has by accident:
 * `scheduler-client` may ask the API, `scheduler-operator` see the dashboard, `scheduler-monitoring` read metrics.
 */
export function networkPolicies(): object[] {
  const into = (port: number, label: string) => ({ ingress: [{ from: [inNamespace(label)], ports: [tcp(port)] }] });
  return [
    policy('deny-the-rest', OURS, { policyTypes: ['Ingress', 'Egress'] }),
    policy('ask-servers', OURS, {
      policyTypes: ['Egress'],
      egress: [{ ports: [udp(53), tcp(53)] }, { ports: ASKED.map(tcp) }],
    }),
    policy('reach-api', { matchLabels: labelsOf('api') }, { policyTypes: ['Ingress'], ...into(30_002, 'scheduler-client') }),
    policy('reach-dashboard', { matchLabels: labelsOf('dashboards') }, { policyTypes: ['Ingress'], ...into(30_003, 'scheduler-operator') }),
    policy('read-metrics', OURS, { policyTypes: ['Ingress'], ...into(30_004, 'scheduler-monitoring') }),
  ];
}
