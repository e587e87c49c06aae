const GRACE_MS = 5_000;

/** What a test left running must not hold the run up for ever; the exit code stays that of the tests. */
export default function globalTeardown(): void {
  const leave = () => {
    process.stderr.write('Something was left running after the last test; leaving anyway.\n');
    process.exit();
  };
  setTimeout(leave, GRACE_MS).unref();
}
