import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Span, spanRecorder } from '../shared/spans.ts';
import { traceBefore } from './request-context.ts';

/**
 * A span for each request, from its headers to its answer. What the handler does happens in it.
 *
 * Addresses of requests name users, so the pattern of the route is told, not the path; and so is nobody's address.
 */
export function traceRequests(app: FastifyInstance): void {
  const spans = new WeakMap<FastifyRequest, Span>();
  app.addHook('onRequest', (request, _reply, done) => {
    const span = beginSpan(request);
    if (span !== undefined) spans.set(request, span);
    done();
  });
  // Not before: a body is read by events of the socket, which belong to nobody.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spans.get(request);
    if (span === undefined) done();
    else span.within(done);
  });
  app.addHook('onResponse', (request, reply, done) => {
    endSpan(spans.get(request), reply.statusCode);
    done();
  });
  app.addHook('onRequestAbort', (request, done) => {
    spans.get(request)?.fail('aborted');
    spans.get(request)?.end();
    done();
  });
}

function beginSpan({ method, routeOptions: { url: route }, headers, id }: FastifyRequest): Span | undefined {
  return spanRecorder()?.begin({
    name: route === undefined ? method : `${method} ${route}`,
    kind: 'server',
    attributes: { 'http.request.method': method, 'http.route': route, 'scheduler.request.id': id },
    after: traceBefore(headers, id),
  });
}

function endSpan(span: Span | undefined, status: number): void {
  if (span === undefined) return;
  span.note({ 'http.response.status_code': status });
  if (status >= 500) span.fail(String(status));
  span.end();
}
