/**
 * Loaded in front of a `main.ts` (`node --import`): the clock of this process goes wrong by CLOCK_SHIFT_MS, as that of a machine
 * without time synchronisation does. Timers, which are monotonic, go on as they are.
 */
const shift = Number(process.env['CLOCK_SHIFT_MS'] ?? 0);

if (shift !== 0) {
  if (process.env['NODE_ENV'] === 'production') throw new Error('the clock is not to be shifted in production');
  const Real = Date;
  globalThis.Date = new Proxy(Real, {
    apply: () => new Real(Real.now() + shift).toString(),
    construct: (_target, words: [], proxy) => Reflect.construct(Real, words.length === 0 ? [Real.now() + shift] : words, proxy),
    get: (target, name, receiver) => (name === 'now' ? () => Real.now() + shift : Reflect.get(target, name, receiver)),
  });
}
