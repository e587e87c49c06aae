import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One value of an attribute, as OTLP writes it. */
type OtlpValue = { readonly stringValue?: string; readonly intValue?: number; readonly boolValue?: boolean };

interface OtlpAttribute {
  readonly key: string;
  readonly value: OtlpValue;
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly OtlpAttribute[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly events: readonly { readonly attributes: readonly OtlpAttribute[] }[];
  readonly status: { readonly code?: number };
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

/** A span as it arrived. */
export interface ArrivedSpan extends Omit<OtlpSpan, 'attributes'> {
  /** Name of the process. */
  readonly service: string | undefined;
  readonly attributes: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** A collector that takes OTLP over HTTP as JSON, as a real one does. */
export interface SpanCollector {
  readonly endpoint: string;
  readonly spans: readonly ArrivedSpan[];
  /** The bodies as they came, to look for what must not be in them. */
  readonly texts: readonly string[];
  /** Spans of a trace whose names begin so. */
  of(traceId: string, name?: string): readonly ArrivedSpan[];
  close(): Promise<void>;
}

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];

/** The name of a kind by its number. */
export function kindOf({ kind }: ArrivedSpan): string | undefined {
  return KINDS[kind];
}

/** @param status  what it answers; anything but 200 loses what it was sent */
export async function startSpanCollector(status = 200): Promise<SpanCollector> {
  const spans: ArrivedSpan[] = [];
  const texts: string[] = [];
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    const text = Buffer.concat(await request.toArray()).toString();
    texts.push(text);
    const isOurs = request.url === '/collector/v1/traces';
    if (status === 200 && isOurs) spans.push(...spansOf(JSON.parse(text)));
    response.writeHead(isOurs ? status : 404, { 'content-type': 'application/json' }).end('{}');
  };
  const server = createServer((request, response) => void take(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}/collector/`,
    spans,
    texts,
    of: (traceId, name = '') => spans.filter((span) => span.traceId === traceId && span.name.startsWith(name)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function spansOf({ resourceSpans }: OtlpRequest): ArrivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue;
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => ({ ...span, service, attributes: read(span.attributes) })));
  });
}

function read(attributes: readonly OtlpAttribute[]): ArrivedSpan['attributes'] {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue]));
}
