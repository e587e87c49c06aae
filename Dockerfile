# One image for every process: the command says which. Node runs the TypeScript sources itself, so nothing is compiled.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
COPY server ./server
# No install scripts: the runtime comes with the image, and the database client is generated below.
# Not `npm ci`, see scripts/ensure.mjs.
RUN npm install --no-save --ignore-scripts --no-audit --no-fund
COPY prisma.config.ts ./
COPY prisma ./prisma
COPY scripts/generate.mjs ./scripts/
# Without peers: Prisma's command line and the compiler are only needed until here.
RUN node scripts/generate.mjs && npm prune --no-save --omit=dev --legacy-peer-deps --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 METRICS_HOST=0.0.0.0 METRICS_PORT=30004
# Less memory for every process. Where /tmp may not be written to, the sources are stripped of their types at each start.
ENV MALLOC_ARENA_MAX=2 NODE_COMPILE_CACHE=/tmp/node-compile-cache
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=dependencies /app/prisma ./prisma
COPY package.json ./
COPY scripts/migrate.ts ./scripts/
COPY shared ./shared
COPY queues ./queues
COPY api ./api
COPY workers ./workers
COPY dashboards ./dashboards
COPY cli ./cli
USER node
EXPOSE 30002 30003 30004
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.METRICS_PORT}/health`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=4", "--heap-growing-percent=10", "api/main.ts"]
